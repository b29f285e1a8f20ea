"""Conversations in a SQLite file."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from activities.conversations.store import RENEW_SECONDS, RETENTION, ConversationsUnavailable, Sweep

T = TypeVar("T")

_BATCH = 500
"""Keys in one statement; SQLite allows 32,766 parameters, older builds 999."""

_BUSY_SECONDS = 5.0


class SqliteConversations:
    """A SQLite file that the workers of one machine share. Each process has one connection, in a thread of its own."""

    def __init__(self, path: Path, retention: timedelta = RETENTION, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._retention = retention.total_seconds()
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="conversations")
        self._connection: sqlite3.Connection | None = None
        self._sweep = Sweep()

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        return await self._run(lambda: self._get(wanted)) if wanted else {}

    async def put(self, items: Mapping[str, bytes]) -> None:
        rows = dict(items)
        if rows:
            await self._run(lambda: self._put(rows))

    async def close(self) -> None:
        """Close the file. Calls that are under way end first."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise ConversationsUnavailable(f"conversations in {self._path}: {error}") from error

    def _get(self, keys: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        stale: list[str] = []
        now = self._clock()
        with self._open() as connection:
            for batch in _batches(keys):
                marks = ",".join("?" * len(batch))
                query = f"SELECT key, body, used FROM content WHERE key IN ({marks})"  # noqa: S608 - only marks go in
                for key, body, used in connection.execute(query, batch):
                    found[key] = body
                    if used < now - RENEW_SECONDS:
                        stale.append(key)
            if stale:
                connection.executemany("UPDATE content SET used = ? WHERE key = ?", [(now, key) for key in stale])
        return found

    def _put(self, items: dict[str, bytes]) -> None:
        now = self._clock()
        with self._open() as connection:
            connection.executemany(
                "INSERT INTO content (key, body, used) VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET body = excluded.body, used = excluded.used",
                [(key, body, now) for key, body in items.items()],
            )
            if self._sweep.is_due(now):
                self._sweep.deleted(self._forget(connection, now), now)

    def _forget(self, connection: sqlite3.Connection, now: float) -> int:
        """Delete what is too old, a bounded part of it at a time so that nobody waits for long."""
        return connection.execute(
            "DELETE FROM content WHERE key IN (SELECT key FROM content WHERE used < ? LIMIT ?)",
            (now - self._retention, Sweep.ROWS),
        ).rowcount

    def _open(self) -> sqlite3.Connection:
        """The connection; as a context manager it is one transaction."""
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                with connection:
                    connection.execute(
                        "CREATE TABLE IF NOT EXISTS content "
                        "(key TEXT PRIMARY KEY, body BLOB NOT NULL, used REAL NOT NULL)"
                    )
                    connection.execute("CREATE INDEX IF NOT EXISTS content_used ON content (used)")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _batches(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))
