"""Conversations in a table of a PostgreSQL database, which every worker of a deployment shares."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import psycopg

from activities.conversations.store import (
    CALL_SECONDS,
    RENEW_SECONDS,
    RETENTION,
    ConversationsUnavailable,
    Sweep,
)
from contracts.settings import without_credentials

T = TypeVar("T")
Work = Callable[["psycopg.AsyncConnection[Any]"], Awaitable[T]]

_CREATE_LOCK = 7_233_004
"""Several workers that start at once make the table one after the other."""

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
    """Each process has one connection, opened by the first call and again after it was lost.

    The table `surefoot_content` is made when it is not there; a user who may not create one needs it made beforehand.
    """

    def __init__(
        self,
        url: str,
        password: str | None = None,
        retention: timedelta = RETENTION,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._password = password
        self._retention = retention.total_seconds()
        self._clock = clock
        self._sweep = Sweep()
        self._lock = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        return await self._run(lambda connection: self._get(connection, wanted)) if wanted else {}

    async def put(self, items: Mapping[str, bytes]) -> None:
        given = dict(items)
        if given:
            await self._run(lambda connection: self._put(connection, given))

    async def close(self) -> None:
        async with self._lock:
            await self._let_go()

    async def _get(self, connection: "psycopg.AsyncConnection[Any]", keys: list[str]) -> dict[str, bytes]:
        now = self._clock()
        rows = await (await connection.execute(_GET, (keys,))).fetchall()
        if stale := [key for key, _, used in rows if used < now - RENEW_SECONDS]:
            await connection.execute(_RENEW, (now, stale))
        return {key: bytes(body) for key, body, _ in rows}

    async def _put(self, connection: "psycopg.AsyncConnection[Any]", items: dict[str, bytes]) -> None:
        now = self._clock()
        await connection.execute(_PUT, (now, list(items), list(items.values())))
        if self._sweep.is_due(now):
            swept = await connection.execute(_FORGET, (now - self._retention, Sweep.ROWS))
            self._sweep.deleted(swept.rowcount, now)

    async def _run(self, work: "Work[T]") -> T:
        try:
            async with asyncio.timeout(CALL_SECONDS), self._lock:
                fresh = self._connection is None
                try:
                    return await self._attempt(work)
                except psycopg.OperationalError:
                    if fresh:
                        raise
                    # The server was restarted, or a firewall cut an idle connection. Both calls can be repeated.
                    return await self._attempt(work)
        except (psycopg.Error, OSError, TimeoutError) as error:
            reason = str(error).strip() or f"no answer in {CALL_SECONDS:.0f} s"
            raise ConversationsUnavailable(
                f"conversations in {without_credentials(self._url)}: {reason}; check conversations.store"
            ) from error

    async def _attempt(self, work: "Work[T]") -> T:
        try:
            connection = self._connection or await self._open()
            async with connection.transaction():
                return await work(connection)
        except BaseException:
            # Also one that was cancelled in the middle of a call is in no state to be used again.
            await self._let_go()
            raise

    async def _open(self) -> "psycopg.AsyncConnection[Any]":
        # Prepared statements do not get through a pooler that shares connections.
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=int(CALL_SECONDS),
            password=self._password,
        )
        self._connection = connection
        found = await (await connection.execute("SELECT to_regclass('surefoot_content')")).fetchone()
        if found is None or found[0] is None:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
                for statement in _CREATE:
                    await connection.execute(statement)
        return connection

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
