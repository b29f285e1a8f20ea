"""Large payloads as objects of a bucket: the Temporal SDK's drivers for S3 and Google Cloud Storage.

Credentials, region and endpoint are what the cloud's own variables and files say (`AWS_*`, `GOOGLE_*`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from temporalio.api.common.v1 import Payload
from temporalio.contrib.aws.s3driver import S3StorageDriver, S3StorageDriverClient
from temporalio.contrib.gcp.gcsdriver import GCSStorageDriver, GCSStorageDriverClient
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from contracts.errors import PayloadUnavailable
from runtime.settings import StorageSettings

NAMES = {"s3": "aws.s3driver", "gcs": "gcp.gcsdriver"}
"""The SDK's own, part of every reference: programs in other languages find the driver by it."""

Open = Callable[[StorageSettings, AsyncExitStack], Awaitable[StorageDriver]]


class Bucket(StorageDriver):
    """A driver of the SDK, opened by the first large payload, since most programs never see one."""

    def __init__(self, storage: StorageSettings, open_driver: Open) -> None:
        self._storage = storage
        self._open = open_driver
        self._opening = asyncio.Lock()
        self._driver: StorageDriver | None = None
        self._stack = AsyncExitStack()

    def name(self) -> str:
        return NAMES[self._storage.driver]

    def type(self) -> str:
        return self.name()

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        """Raises:
        PayloadUnavailable: the bucket does not take it.
        """
        with self._explained("stored"):
            return await (await self._opened()).store(context, payloads)

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Raises:
        PayloadUnavailable: the bucket does not give it, or it is not what was stored.
        """
        with self._explained("read"):
            return await (await self._opened()).retrieve(context, claims)

    async def close(self) -> None:
        self._driver = None
        await self._stack.aclose()

    async def _opened(self) -> StorageDriver:
        async with self._opening:
            if self._driver is None:
                self._driver = await self._open(self._storage, self._stack)
            return self._driver

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            reason = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
            raise PayloadUnavailable(
                f"{self._storage.driver}://{self._storage.bucket}: a large payload cannot be {done} ({reason}); check "
                "storage.bucket, its credentials, region and permissions"
            ) from error


async def open_s3(storage: StorageSettings, stack: AsyncExitStack) -> StorageDriver:
    import aioboto3
    from temporalio.contrib.aws.s3driver.aioboto3 import new_aioboto3_client

    client = new_aioboto3_client(await stack.enter_async_context(aioboto3.Session().client("s3")))
    return S3StorageDriver(_S3UnderPrefix(client, _folder(storage)), str(storage.bucket))


async def open_gcs(storage: StorageSettings, stack: AsyncExitStack) -> StorageDriver:
    from gcloud.aio.storage import Storage
    from temporalio.contrib.gcp.gcsdriver.gcloud_aio import new_gcloud_aio_client

    client = new_gcloud_aio_client(await stack.enter_async_context(Storage()))
    return GCSStorageDriver(_GcsUnderPrefix(client, _folder(storage)), str(storage.bucket))


def _folder(storage: StorageSettings) -> str:
    return f"{storage.prefix}/" if storage.prefix else ""


class _S3UnderPrefix(S3StorageDriverClient):
    def __init__(self, client: S3StorageDriverClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def put_object(self, *, bucket: str, key: str, data: bytes) -> None:
        await self._client.put_object(bucket=bucket, key=self._prefix + key, data=data)

    async def object_exists(self, *, bucket: str, key: str) -> bool:
        return await self._client.object_exists(bucket=bucket, key=self._prefix + key)

    async def get_object(self, *, bucket: str, key: str) -> bytes:
        return await self._client.get_object(bucket=bucket, key=self._prefix + key)


class _GcsUnderPrefix(GCSStorageDriverClient):
    def __init__(self, client: GCSStorageDriverClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def put_object(self, *, bucket: str, object_name: str, data: bytes) -> None:
        await self._client.put_object(bucket=bucket, object_name=self._prefix + object_name, data=data)

    async def object_exists(self, *, bucket: str, object_name: str) -> bool:
        return await self._client.object_exists(bucket=bucket, object_name=self._prefix + object_name)

    async def get_object(self, *, bucket: str, object_name: str) -> bytes:
        return await self._client.get_object(bucket=bucket, object_name=self._prefix + object_name)
