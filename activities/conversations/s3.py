"""Conversations as objects of an S3 bucket, which forgets by a lifecycle rule of its own.

Credentials, region and endpoint are what the cloud's own variables and files say (`AWS_*`).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from activities.conversations.store import CALL_SECONDS, RENEW_SECONDS, ConversationsUnavailable

CALLS_AT_ONCE = 32
_MISSING = ("NoSuchKey", "404")


class S3Conversations:
    """Each content is `PREFIX/content/ab/DIGEST`. What is read a day after it was written is written again, so that a
    rule that expires objects N days after their creation forgets what nobody read for N days."""

    def __init__(self, bucket: str, prefix: str = "", clock: Callable[[], float] = time.time) -> None:
        self._bucket = bucket
        self._folder = f"{prefix}/content" if prefix else "content"
        self._clock = clock
        self._opening = asyncio.Lock()
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._client: Any = None
        self._stack = AsyncExitStack()

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        bodies = await self._all([self._read(key) for key in wanted])
        return {key: body for key, body in zip(wanted, bodies, strict=True) if body is not None}

    async def put(self, items: Mapping[str, bytes]) -> None:
        await self._all([self._write(key, body) for key, body in items.items()])

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def _all(self, calls: list[Any]) -> list[Any]:
        """All of them, or the first error after the others have ended."""
        ended = await asyncio.gather(*calls, return_exceptions=True)
        for error in ended:
            if isinstance(error, BotoCoreError | ClientError | OSError | TimeoutError):
                raise ConversationsUnavailable(
                    f"conversations in s3://{self._bucket}/{self._folder}: {error}; check conversations.store, the "
                    "bucket's permissions, credentials and region"
                ) from error
            if isinstance(error, BaseException):
                raise error
        return ended

    async def _read(self, key: str) -> bytes | None:
        client = await self._opened()
        async with self._calls:
            try:
                found = await client.get_object(Bucket=self._bucket, Key=self._key(key))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _MISSING:
                    return None
                raise
            async with found["Body"] as stream:
                body: bytes = await stream.read()
        if found["LastModified"].timestamp() < self._clock() - RENEW_SECONDS:
            await self._write(key, body)
        return body

    async def _write(self, key: str, body: bytes) -> None:
        client = await self._opened()
        async with self._calls:
            await client.put_object(Bucket=self._bucket, Key=self._key(key), Body=body)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                config = AioConfig(
                    connect_timeout=CALL_SECONDS, read_timeout=CALL_SECONDS, max_pool_connections=CALLS_AT_ONCE
                )
                opened = aioboto3.Session().client("s3", config=config)
                self._client = await self._stack.enter_async_context(opened)
            return self._client

    def _key(self, digest: str) -> str:
        return f"{self._folder}/{digest[:2]}/{digest}"
