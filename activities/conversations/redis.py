"""Conversations in Redis, which forgets by itself: each content has the retention as its time to live."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from activities.conversations.store import RETENTION, ConversationsUnavailable
from activities.reach.redis import RedisServer, RedisUnavailable

PREFIX = "surefoot:content:"
_BATCH = 500


class RedisConversations:
    """Every read and every write of a content starts its time to live again."""

    def __init__(self, url: str, password: str | None = None, retention: timedelta = RETENTION) -> None:
        self._server = RedisServer(url, password)
        self._seconds = int(retention.total_seconds())

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            bodies = await self._for_each(batch, lambda calls, key: calls.getex(PREFIX + key, ex=self._seconds))
            found |= {key: body for key, body in zip(batch, bodies, strict=True) if body is not None}
        return found

    async def put(self, items: Mapping[str, bytes]) -> None:
        if items:
            await self._for_each(items, lambda calls, key: calls.set(PREFIX + key, items[key], ex=self._seconds))

    async def close(self) -> None:
        await self._server.close()

    async def _for_each(self, keys: Iterable[str], command: Callable[[Any, str], object]) -> list[Any]:
        try:
            return await self._server.run(lambda calls: [command(calls, key) for key in keys])
        except RedisUnavailable as error:
            raise ConversationsUnavailable(f"conversations in {error}; check conversations.store") from error
