"""The board as a hash in Redis."""

from collections.abc import Callable
from typing import Any

from activities.reach.redis import RedisServer, RedisUnavailable
from contracts.board import BoardUnavailable

NAME = "surefoot:board"


class RedisBoard:
    def __init__(self, url: str, password: str | None = None) -> None:
        self._server = RedisServer(url, password)

    async def read(self, prefix: str) -> dict[str, str]:
        (entries,) = await self._run(lambda calls: calls.hgetall(NAME))
        found = {key.decode(): value.decode() for key, value in entries.items()}
        return {key: found[key] for key in sorted(found) if key.startswith(prefix)}

    async def write(self, key: str, value: str | None) -> None:
        await self._run(lambda calls: calls.hdel(NAME, key) if value is None else calls.hset(NAME, key, value))

    async def close(self) -> None:
        await self._server.close()

    async def _run(self, commands: Callable[[Any], object]) -> list[Any]:
        try:
            return await self._server.run(commands)
        except RedisUnavailable as error:
            raise BoardUnavailable(f"board in {error}; check conversations.store") from error
