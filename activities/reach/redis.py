"""A Redis server, its connections opened by the first call."""

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from contracts.settings import without_credentials

CALL_SECONDS = 10.0


class RedisUnavailable(Exception):
    """The server cannot be read or written now; the message names it."""


class RedisServer:
    """Commands are given as a function that adds them to a pipeline; all of them are done, or none."""

    def __init__(self, url: str, password: str | None) -> None:
        self._url = url
        self._redis: Redis = Redis.from_url(
            url, password=password, socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS
        )

    async def run(self, commands: Callable[[Pipeline], object]) -> list[Any]:
        """What each command gives. They may be done twice.

        Raises:
            RedisUnavailable: there is no connection, or the server refuses.
        """
        try:
            try:
                return await self._attempt(commands)
            except RedisConnectionError:
                # The server was restarted, or a firewall cut an idle connection.
                return await self._attempt(commands)
        except (RedisError, OSError) as error:
            raise RedisUnavailable(f"{without_credentials(self._url)}: {error}") from error

    async def close(self) -> None:
        await self._redis.aclose()

    async def _attempt(self, commands: Callable[[Pipeline], object]) -> list[Any]:
        async with self._redis.pipeline(transaction=True) as pipeline:
            commands(pipeline)
            done: list[Any] = await pipeline.execute()
            return done
