"""A folder of an S3 bucket. Credentials, region and endpoint are what the cloud's own variables and files say."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

T = TypeVar("T")

CALL_SECONDS = 10.0
CALLS_AT_ONCE = 32
_MISSING = ("NoSuchKey", "404")


class S3Unavailable(Exception):
    """The bucket cannot be read or written now; the message names it."""


@dataclass(frozen=True)
class Object:
    """`written`: seconds since 1970, by the bucket's clock."""

    body: bytes
    written: float


class S3Folder:
    """`folder`: how all names in it begin, without the last slash. The client is opened by the first call."""

    def __init__(self, bucket: str, folder: str) -> None:
        self._bucket = bucket
        self._folder = folder
        self._opening = asyncio.Lock()
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._client: Any = None
        self._stack = AsyncExitStack()

    async def all(self, calls: list[Coroutine[Any, Any, T]]) -> list[T]:
        """All of them side by side, or the first error after the others have ended.

        Raises:
            S3Unavailable: the bucket does not answer, or refuses.
        """
        ended = await asyncio.gather(*calls, return_exceptions=True)
        results: list[T] = []
        for result in ended:
            if isinstance(result, BotoCoreError | ClientError | OSError | TimeoutError):
                raise S3Unavailable(
                    f"s3://{self._bucket}/{self._folder}: {result}; check its permissions, credentials, region"
                ) from result
            if isinstance(result, BaseException):
                raise result
            results.append(result)
        return results

    async def read(self, name: str) -> Object | None:
        client = await self._opened()
        async with self._calls:
            try:
                found = await client.get_object(Bucket=self._bucket, Key=f"{self._folder}/{name}")
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _MISSING:
                    return None
                raise
            async with found["Body"] as stream:
                return Object(await stream.read(), found["LastModified"].timestamp())

    async def write(self, name: str, body: bytes) -> None:
        client = await self._opened()
        async with self._calls:
            await client.put_object(Bucket=self._bucket, Key=f"{self._folder}/{name}", Body=body)

    async def remove(self, name: str) -> None:
        client = await self._opened()
        async with self._calls:
            await client.delete_object(Bucket=self._bucket, Key=f"{self._folder}/{name}")

    async def names(self, prefix: str) -> list[str]:
        """At most 1,000 that begin so."""
        client = await self._opened()
        async with self._calls:
            found = await client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._folder}/{prefix}")
        return [each["Key"].removeprefix(f"{self._folder}/") for each in found.get("Contents", [])]

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                config = AioConfig(
                    connect_timeout=CALL_SECONDS, read_timeout=CALL_SECONDS, max_pool_connections=CALLS_AT_ONCE
                )
                opened = aioboto3.Session().client("s3", config=config)
                self._client = await self._stack.enter_async_context(opened)
            return self._client
