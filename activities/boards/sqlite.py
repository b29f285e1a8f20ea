"""The board as a SQLite file that the workers and operators of one machine share."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from contracts.board import BoardUnavailable

T = TypeVar("T")

_BUSY_SECONDS = 5.0


class SqliteBoard:
    """Each process has one connection, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="board")
        self._connection: sqlite3.Connection | None = None

    async def read(self, prefix: str) -> dict[str, str]:
        def select(connection: sqlite3.Connection) -> dict[str, str]:
            query = "SELECT key, value FROM board WHERE substr(key, 1, ?) = ? ORDER BY key"
            return dict(connection.execute(query, (len(prefix), prefix)).fetchall())

        return await self._run(select)

    async def write(self, key: str, value: str | None) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if value is None:
                connection.execute("DELETE FROM board WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO board (key, value) VALUES (?, ?)", (key, value))

        await self._run(change)

    async def close(self) -> None:
        """Close the file. Calls that are under way end first."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            with self._open() as connection:
                return work(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except (sqlite3.Error, OSError) as error:
            raise BoardUnavailable(f"board in {self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        """The connection; as a context manager it is one transaction."""
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                with connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS board (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
