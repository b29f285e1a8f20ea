"""The board as objects of an S3 bucket."""

from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from activities.reach.s3 import S3Folder, S3Unavailable
from contracts.board import BoardUnavailable

T = TypeVar("T")


class S3Board:
    """Each entry is `PREFIX/board/KEY`, with what S3 does not take in a name percent-encoded."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self._folder = S3Folder(bucket, f"{prefix}/board" if prefix else "board")

    async def read(self, prefix: str) -> dict[str, str]:
        (names,) = await self._all([self._folder.names(quote(prefix))])
        objects = await self._all([self._folder.read(name) for name in names])
        # One that was removed between the list and the read is not there.
        found = {unquote(name): each.body.decode() for name, each in zip(names, objects, strict=True) if each}
        return dict(sorted(found.items()))

    async def write(self, key: str, value: str | None) -> None:
        name = quote(key)
        await self._all([self._folder.remove(name) if value is None else self._folder.write(name, value.encode())])

    async def close(self) -> None:
        await self._folder.close()

    async def _all(self, calls: list[Coroutine[Any, Any, T]]) -> list[T]:
        try:
            return await self._folder.all(calls)
        except S3Unavailable as error:
            raise BoardUnavailable(f"board in {error}") from error
