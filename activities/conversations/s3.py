"""Conversations as objects of an S3 bucket, which forgets by a lifecycle rule of its own."""

import time
from collections.abc import Callable, Iterable, Mapping

from activities.conversations.store import RENEW_SECONDS, ConversationsUnavailable
from activities.reach.s3 import S3Folder, S3Unavailable


class S3Conversations:
    """Each content is `PREFIX/content/ab/DIGEST`. What is read a day after it was written is written again, so that a
    rule that expires objects N days after their creation forgets what nobody read for N days."""

    def __init__(self, bucket: str, prefix: str = "", clock: Callable[[], float] = time.time) -> None:
        self._folder = S3Folder(bucket, f"{prefix}/content" if prefix else "content")
        self._clock = clock

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        try:
            bodies = await self._folder.all([self._read(key) for key in wanted])
        except S3Unavailable as error:
            raise ConversationsUnavailable(f"conversations in {error}") from error
        return {key: body for key, body in zip(wanted, bodies, strict=True) if body is not None}

    async def put(self, items: Mapping[str, bytes]) -> None:
        try:
            await self._folder.all([self._folder.write(_name(key), body) for key, body in items.items()])
        except S3Unavailable as error:
            raise ConversationsUnavailable(f"conversations in {error}") from error

    async def close(self) -> None:
        await self._folder.close()

    async def _read(self, key: str) -> bytes | None:
        found = await self._folder.read(_name(key))
        if found is None:
            return None
        if found.written < self._clock() - RENEW_SECONDS:
            await self._folder.write(_name(key), found.body)
        return found.body


def _name(digest: str) -> str:
    return f"{digest[:2]}/{digest}"
