"""Conversations in a table of a PostgreSQL database, which every worker of a deployment shares."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import TypeVar

from activities.conversations.store import RENEW_SECONDS, RETENTION, ConversationsUnavailable, Sweep
from activities.reach.postgres import Connection, Postgres, PostgresUnavailable

T = TypeVar("T")

_CREATE = (
    "CREATE TABLE IF NOT EXISTS surefoot_content "
    "(key text PRIMARY KEY, body bytea NOT NULL, used double precision NOT NULL)",
    "CREATE INDEX IF NOT EXISTS surefoot_content_used ON surefoot_content (used)",
)
_GET = "SELECT key, body, used FROM surefoot_content WHERE key = ANY(%s)"
# Rows are locked in the order of their keys, and those that another worker holds are left to it: no deadlock.
_RENEW = (
    "UPDATE surefoot_content SET used = %s WHERE key IN "
    "(SELECT key FROM surefoot_content WHERE key = ANY(%s) ORDER BY key FOR UPDATE SKIP LOCKED)"
)
_PUT = (
    "INSERT INTO surefoot_content (key, body, used) SELECT key, body, %s FROM unnest(%s::text[], %s::bytea[]) "
    "AS given (key, body) ORDER BY key ON CONFLICT (key) DO UPDATE SET body = excluded.body, used = excluded.used"
)
_FORGET = (
    "DELETE FROM surefoot_content WHERE key IN "
    "(SELECT key FROM surefoot_content WHERE used < %s LIMIT %s FOR UPDATE SKIP LOCKED)"
)


class PostgresConversations:
    """The table `surefoot_content`, through one connection of each process."""

    def __init__(
        self,
        url: str,
        password: str | None = None,
        retention: timedelta = RETENTION,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = Postgres(url, password, "surefoot_content", _CREATE)
        self._retention = retention.total_seconds()
        self._clock = clock
        self._sweep = Sweep()

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        return await self._run(lambda connection: self._get(connection, wanted)) if wanted else {}

    async def put(self, items: Mapping[str, bytes]) -> None:
        given = dict(items)
        if given:
            await self._run(lambda connection: self._put(connection, given))

    async def close(self) -> None:
        await self._database.close()

    async def _get(self, connection: Connection, keys: list[str]) -> dict[str, bytes]:
        now = self._clock()
        rows = await (await connection.execute(_GET, (keys,))).fetchall()
        if stale := [key for key, _, used in rows if used < now - RENEW_SECONDS]:
            await connection.execute(_RENEW, (now, stale))
        return {key: bytes(body) for key, body, _ in rows}

    async def _put(self, connection: Connection, items: dict[str, bytes]) -> None:
        now = self._clock()
        await connection.execute(_PUT, (now, list(items), list(items.values())))
        if self._sweep.is_due(now):
            swept = await connection.execute(_FORGET, (now - self._retention, Sweep.ROWS))
            self._sweep.deleted(swept.rowcount, now)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.run(work)
        except PostgresUnavailable as error:
            raise ConversationsUnavailable(f"conversations in {error}; check conversations.store") from error
