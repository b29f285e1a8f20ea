"""Conversations in Redis, which forgets by itself: each content has the retention as its time to live."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from redis.asyncio import Redis
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
        try:
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                async with self._redis.pipeline(transaction=False) as calls:
                    for key in batch:
                        calls.getex(PREFIX + key, ex=self._seconds)
                    bodies = await calls.execute()
                found |= {key: body for key, body in zip(batch, bodies, strict=True) if body is not None}
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from error
        return found

    async def put(self, items: Mapping[str, bytes]) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as calls:
                for key, body in items.items():
                    calls.set(PREFIX + key, body, ex=self._seconds)
                await calls.execute()
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        await self._redis.aclose()

    def _unavailable(self, error: Exception) -> ConversationsUnavailable:
        return ConversationsUnavailable(
            f"conversations in {without_credentials(self._url)}: {error}; check conversations.store"
        )
