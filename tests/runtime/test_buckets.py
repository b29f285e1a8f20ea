"""Large payloads in a bucket: through the SDK's drivers, with the clouds' own clients where those are installed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)
from temporalio.worker import Worker
from uuid_utils import uuid7

from contracts.errors import PayloadUnavailable
from runtime.buckets import Bucket
from runtime.client import data_converter
from runtime.sandbox import patient, workflow_runner
from runtime.settings import Settings, StorageSettings
from runtime.storage import close_storage
from tests.runtime.bucket import Objects, bucket_server
from tests.runtime.large import Echo

S3 = StorageSettings(driver="s3", bucket="payloads", prefix="surefoot/prod")
GCS = S3.model_copy(update={"driver": "gcs"})
LARGE = Payload(metadata={"encoding": b"json/plain"}, data=b"x" * 200_000)


class Memory(StorageDriver):
    """Of the test. `broken`: what it raises."""

    def __init__(self) -> None:
        self.held: list[Payload] = []
        self.broken: Exception | None = None

    def name(self) -> str:
        return "memory"

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        self.held += payloads
        return [StorageDriverClaim({}) for _ in payloads]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        if self.broken:
            raise self.broken from ConnectionError("no line")
        return self.held


async def test_a_bucket_is_opened_by_the_first_payload_and_closed_once() -> None:
    memory = Memory()
    told: list[str] = []

    async def opened(storage: StorageSettings, stack: AsyncExitStack) -> StorageDriver:
        told.append(f"open {storage.bucket}")
        stack.callback(told.append, "close")
        await asyncio.sleep(0)
        return memory

    bucket = Bucket(S3, opened)
    assert (bucket.name(), told) == ("aws.s3driver", [])
    claims = await asyncio.gather(*(bucket.store(StorageDriverStoreContext(), [LARGE]) for _ in range(3)))
    assert told == ["open payloads"]
    assert await bucket.retrieve(StorageDriverRetrieveContext(), claims[0]) == [LARGE] * 3
    await bucket.close()
    assert told == ["open payloads", "close"]


async def test_what_a_bucket_cannot_do_is_said_with_its_cause_and_what_to_check() -> None:
    memory = Memory()
    memory.broken = RuntimeError("retrieve failed [key=v0/x]")

    async def opened(storage: StorageSettings, stack: AsyncExitStack) -> StorageDriver:
        return memory

    with pytest.raises(PayloadUnavailable) as caught:
        await Bucket(GCS, opened).retrieve(StorageDriverRetrieveContext(), [StorageDriverClaim({})])
    for part in ("gcs://payloads", "cannot be read", "key=v0/x", "no line", "credentials"):
        assert part in str(caught.value)


# With the clouds' own clients: `sh .ci/setup s3 gcs`


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    with bucket_server() as held:
        monkeypatch.setenv("AWS_ENDPOINT_URL", held.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", held.url)
        yield held


CLOUDS = [
    pytest.param(S3, marks=pytest.mark.skipif(find_spec("aioboto3") is None, reason="make setup WITH=s3")),
    pytest.param(GCS, marks=pytest.mark.skipif(find_spec("gcloud") is None, reason="make setup WITH=gcs")),
]


@pytest_asyncio.fixture
async def clouded(client: Client, objects: Objects, request: Any, tmp_path: Any) -> AsyncIterator[Client]:
    """A client of the shared server whose large payloads go to a cloud."""
    converter = data_converter(Settings(home=tmp_path, storage=request.param))
    yield await Client.connect(client.service_client.config.target_host, data_converter=converter)
    await close_storage(converter)


@pytest.mark.parametrize("clouded", CLOUDS, indirect=True, ids=["s3", "gcs"])
async def test_a_run_goes_through_a_cloud(clouded: Client, objects: Objects) -> None:
    name = f"echo-{uuid7()}"
    async with patient(Worker(clouded, task_queue=name, workflows=[Echo], workflow_runner=workflow_runner())):
        result = await clouded.execute_workflow(Echo.run, "x" * 3_000_000, id=name, task_queue=name)
        assert result == "x" * 3_000_000
        small = await clouded.execute_workflow(Echo.run, "x" * 60_000, id=f"{name}-small", task_queue=name)
        assert small == "x" * 60_000
    assert objects.held
    assert all(place.startswith("payloads/surefoot/prod/v0/ns/default/wt/Echo/wi/") for place in objects.held)
    assert all(name in place and "small" not in place for place in objects.held)


@pytest.mark.parametrize("clouded", CLOUDS, indirect=True, ids=["s3", "gcs"])
async def test_a_cloud_that_denies_is_said(clouded: Client, objects: Objects) -> None:
    objects.denies = True
    with pytest.raises(PayloadUnavailable, match=r"://payloads: a large payload cannot be stored .*403.*permissions"):
        await clouded.start_workflow(Echo.run, "x" * 3_000_000, id="denied", task_queue="denied")
