"""Large payloads lie outside the server and come back whole; small ones do not notice."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.converter import StorageDriverRetrieveContext, StorageDriverStoreContext
from temporalio.worker import Replayer, Worker
from uuid_utils import uuid7

from contracts.errors import PayloadUnavailable, SettingsInvalid
from contracts.run import Cost, RunView
from runtime.client import data_converter
from runtime.files import Files
from runtime.sandbox import patient, workflow_runner
from runtime.settings import PROJECT, Settings, StorageSettings, load_settings
from runtime.storage import PayloadConverter
from tests.runtime.large import Echo, Large, beat, fail, make, measure
from tests.workflows.office import open_office

pytestmark = pytest.mark.slow

LARGE = 3_000_000
"""More than the server takes."""

HISTORY_BYTES = 10_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "payloads"


@pytest_asyncio.fixture
async def stored(client: Client, tmp_path: Path) -> Client:
    """A client of the shared server, with a home of its own."""
    return await with_home(client, tmp_path)


async def with_home(client: Client, home: Path) -> Client:
    address = client.service_client.config.target_host
    return await Client.connect(address, data_converter=data_converter(Settings(home=home)))


@asynccontextmanager
async def working(client: Client, queue: str) -> AsyncIterator[None]:
    async with patient(
        Worker(
            client,
            task_queue=queue,
            workflows=[Large, Echo],
            activities=[make, measure, fail, beat],
            workflow_runner=workflow_runner(),
        )
    ):
        yield


async def start(client: Client, way: str, size: int, text: str = "") -> WorkflowHandle[Any, int]:
    name = f"large-{uuid7()}"
    return await client.start_workflow(Large.run, args=[way, size, text], id=name, task_queue=name)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def history_bytes(run: WorkflowHandle[Any, Any]) -> int:
    return sum(event.ByteSize() for event in (await run.fetch_history()).events)


@pytest.mark.parametrize(
    "way",
    [
        "input",
        "activity result",
        "activity input",
        "local activity",
        "heartbeat",
        "failure",
        "child",
        "continue as new",
    ],
)
async def test_more_than_the_server_takes_goes_every_way(stored: Client, folder: Path, way: str) -> None:
    run = await start(stored, way, LARGE, "x" * LARGE if way == "input" else "")
    async with working(stored, run.id):
        assert await run.result() == LARGE
    assert len(files(folder)) == 1
    assert await history_bytes(run) < HISTORY_BYTES


async def test_so_do_queries_updates_and_signals(stored: Client) -> None:
    run = await start(stored, "wait", 0)
    async with working(stored, run.id):
        assert len(await run.query(Large.answer, LARGE)) == LARGE
        assert await run.execute_update(Large.echo, "u" * LARGE) == "u" * LARGE
        await run.signal(Large.tell, "s" * LARGE)
        assert await run.result() == LARGE
    assert await history_bytes(run) < HISTORY_BYTES


async def test_ten_megabytes_come_back_whole_and_replay(stored: Client, tmp_path: Path) -> None:
    run = await start(stored, "activity result", 10_000_000)
    async with working(stored, run.id):
        assert await run.result() == 10_000_000
    converter = data_converter(Settings(home=tmp_path))
    replayer = Replayer(workflows=[Large], workflow_runner=workflow_runner(), data_converter=converter)
    await replayer.replay_workflow(await run.fetch_history())


async def test_what_is_small_leaves_no_file(stored: Client, folder: Path) -> None:
    run = await start(stored, "activity result", 60_000, "x" * 60_000)
    async with working(stored, run.id):
        assert await run.result() == 60_000
    assert files(folder) == []


async def test_many_that_are_small_are_not_too_much_for_one_task(stored: Client, folder: Path) -> None:
    async with open_office(stored) as office:
        run = await office.start(
            """
            process: wide
            steps:
              each: {tool: do.work, with: {what: "${ item }"}, for_each: "${ input.items }"}
            output: ${ size(steps.each.output) }
            """,
            {"items": [f"{index}".ljust(60_000) for index in range(90)]},
        )
        assert (await run.handle.result()).output == 90
    kept = len(files(folder))
    assert 0 < kept < 90, "most of 5.4 MB, and no more than it takes"


async def test_a_step_s_result_goes_on_to_the_next_step_however_large(stored: Client) -> None:
    async with open_office(stored) as office:
        run = await office.start(
            """
            process: passing
            steps:
              first: {tool: do.work, with: {what: "${ input.rows }"}}
              second: {tool: do.work, with: {what: "${ steps.first.output.what }"}}
            output: ${ steps.second.output.what }
            """,
            {"rows": "x" * 5_000_000},
        )
        assert (await run.handle.result()).output == "x" * 5_000_000


@pytest.mark.parametrize(("size", "kept"), [(1_900_000, 0), (2_100_000, 1)])
async def test_a_view_is_answered_as_it_is_for_as_long_as_the_server_takes_it(
    stored: Client, folder: Path, size: int, kept: int
) -> None:
    async with open_office(stored) as office:
        run = await office.start(
            'process: seen\nsteps: {w: {tool: do.work, with: {what: "${ input.text }"}}}', {"text": "x" * size}
        )
        await run.handle.result()
        before = len(files(folder))
        assert (await run.view({"step": "w"})).steps[0].output["what"] == "x" * size
    assert len(files(folder)) == before + kept


async def task_failure(run: WorkflowHandle[Any, Any]) -> str:
    """What the first failed workflow task of a run says."""
    async with asyncio.timeout(60):
        while True:
            async for event in run.fetch_history_events():
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                    return event.workflow_task_failed_event_attributes.failure.message
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("harm", "said"), [("missing", "cannot be read (No such file"), ("damaged", "is damaged")])
async def test_a_file_that_is_gone_is_said_and_the_run_goes_on_when_it_is_back(
    stored: Client, folder: Path, harm: str, said: str
) -> None:
    run = await start(stored, "input", 0, "x" * LARGE)
    [file] = files(folder)
    content = file.read_bytes()
    file.unlink()
    if harm == "damaged":
        file.write_bytes(content[:-1] + b"y")
    async with working(stored, run.id):
        message = await task_failure(run)
        for part in (str(file), said, "backup", "the run then goes on"):
            assert part in message
        file.write_bytes(content)
        assert await run.result() == LARGE


async def test_a_program_with_another_home_is_told_so(stored: Client, client: Client, tmp_path: Path) -> None:
    elsewhere = await with_home(client, tmp_path / "another home")
    run = await stored.start_workflow(Echo.run, "x" * LARGE, id=f"echo-{uuid7()}", task_queue="echo")
    async with working(stored, "echo"):
        await run.result()
    with pytest.raises(PayloadUnavailable, match=r"another home.*SUREFOOT_HOME.*share the folder"):
        await elsewhere.get_workflow_handle(run.id).result()


def test_a_view_is_plain_json_for_programs_that_know_only_that() -> None:
    view = RunView(run="r", process="p", version=1, status="running", cost=Cost(), started=datetime.now(UTC), steps=())
    converter = PayloadConverter()
    [payload] = converter.to_payloads([view])
    assert dict(payload.metadata) == {"encoding": b"json/plain"}, "the Temporal CLI shows base64 when there is more"
    assert json.loads(payload.data)["run"] == "r"
    assert converter.from_payloads([payload], [RunView]) == [view]


# The files


async def put(driver: Files, *payloads: Payload) -> list[Any]:
    return await driver.store(StorageDriverStoreContext(), payloads)


async def test_the_same_bytes_are_kept_once_and_are_as_new_when_they_are_stored_again(folder: Path) -> None:
    driver = Files(folder)
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b"[1]")
    claims = await put(driver, payload, payload)
    [file] = files(folder)
    assert file.relative_to(folder).parts == (file.name[:2], file.name[2:4], file.name)
    os.utime(file, (0, 0))
    assert await put(driver, payload) == claims[:1] == claims[1:]
    assert file.stat().st_mtime > 0
    assert await driver.retrieve(StorageDriverRetrieveContext(), claims) == [payload, payload]


async def test_storing_mends_a_damaged_file(folder: Path) -> None:
    driver = Files(folder)
    payload = Payload(data=b"whole")
    claims = await put(driver, payload)
    [file] = files(folder)
    file.write_bytes(b"torn")
    assert await put(driver, payload) == claims
    assert await driver.retrieve(StorageDriverRetrieveContext(), claims) == [payload]


async def test_a_folder_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(PayloadUnavailable, match=r"pyproject.toml.*cannot be stored.*SUREFOOT_STORAGE__FOLDER"):
        await put(Files(PROJECT / "pyproject.toml"), Payload(data=b"x"))


# Settings


def test_files_lie_in_the_home_or_where_it_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings(home=tmp_path).payloads == tmp_path / "payloads"
    monkeypatch.setenv("SUREFOOT_STORAGE__FOLDER", str(tmp_path / "shared"))
    assert load_settings().payloads == tmp_path / "shared"


def test_a_variable_and_the_file_are_put_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "surefoot.toml"
    config.write_text('[storage]\ndriver = "s3"\nbucket = "of-file"\nprefix = "surefoot"\n')
    monkeypatch.setenv("SUREFOOT_CONFIG", str(config))
    monkeypatch.setenv("SUREFOOT_STORAGE__BUCKET", "of-variable")
    assert load_settings().storage == StorageSettings(driver="s3", bucket="of-variable", prefix="surefoot")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DRIVER": "s3"}, ("storage", "s3 needs a bucket", "SUREFOOT_STORAGE__BUCKET")),
        ({"BUCKET": "payloads"}, ("storage", "bucket is for driver s3 or gcs", "driver is local")),
        ({"DRIVER": "gcs", "BUCKET": "payloads", "FOLDER": "x"}, ("folder is for driver local", "driver is gcs")),
        ({"DRIVER": "ftp"}, ("SUREFOOT_STORAGE__DRIVER: 'ftp'", "'local', 's3' or 'gcs'")),
        ({"THRESHOLD": "3000000"}, ("SUREFOOT_STORAGE__THRESHOLD: '3000000'", "less than or equal to 1500000")),
        ({"DRIVER": "s3", "BUCKET": "payloads", "PREFIX": "/x/"}, ("SUREFOOT_STORAGE__PREFIX: '/x/'",)),
        ({"PATH": "x"}, ("SUREFOOT_STORAGE__PATH", "there is no such setting", "driver, folder, bucket")),
    ],
)
def test_settings_that_do_not_fit_are_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: tuple[str, ...]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SUREFOOT_STORAGE__{name}", value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize(("driver", "package"), [("s3", "aioboto3"), ("gcs", "gcloud.aio.storage")])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, driver: Any, package: str
) -> None:
    monkeypatch.setattr("runtime.storage.find_spec", lambda name: None)
    storage = StorageSettings(driver=driver, bucket="payloads")
    with pytest.raises(SettingsInvalid, match=rf"{package} is not installed; `make setup WITH={driver}`"):
        data_converter(Settings(storage=storage))
