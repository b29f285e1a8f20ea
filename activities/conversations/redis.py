"""Conversations in Redis, which forgets by itself: each content has the retention as its time to live."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from activities.conversations.store import CALL_SECONDS, RETENTION, ConversationsUnavailable
from contracts.settings import without_credentials

PREFIX = "surefoot:content:"
_BATCH = 500


class RedisConversations:
    """Every read and every write of a content starts its time to live again."""

    def __init__(self, url: str, password: str | None = None, retention: timedelta = RETENTION) -> None:
        self._url = url
        self._seconds = int(retention.total_seconds())
        self._redis: Redis = Redis.from_url(
            url, password=password, socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS
        )

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            bodies = await self._call(batch, lambda calls, key: calls.getex(PREFIX + key, ex=self._seconds))
            found |= {key: body for key, body in zip(batch, bodies, strict=True) if body is not None}
        return found

    async def put(self, items: Mapping[str, bytes]) -> None:
        if items:
            await self._call(items, lambda calls, key: calls.set(PREFIX + key, items[key], ex=self._seconds))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _call(self, keys: Iterable[str], command: Callable[[Pipeline, str], object]) -> list[Any]:
        """One command for each key, all or none of them."""
        try:
            try:
                return await self._attempt(keys, command)
            except RedisConnectionError:
                # The server was restarted, or a firewall cut an idle connection. Each command can be repeated.
                return await self._attempt(keys, command)
        except (RedisError, OSError) as error:
            raise ConversationsUnavailable(
                f"conversations in {without_credentials(self._url)}: {error}; check conversations.store"
            ) from error

    async def _attempt(self, keys: Iterable[str], command: Callable[[Pipeline, str], object]) -> list[Any]:
        async with self._redis.pipeline(transaction=True) as calls:
            for key in keys:
                command(calls, key)
            return await calls.execute()
