"""The board as a table of a PostgreSQL database."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from activities.reach.postgres import Connection, Postgres, PostgresUnavailable
from contracts.board import BoardUnavailable

T = TypeVar("T")

_CREATE = ("CREATE TABLE IF NOT EXISTS surefoot_board (key text PRIMARY KEY, value text NOT NULL)",)
_READ = "SELECT key, value FROM surefoot_board WHERE starts_with(key, %s) ORDER BY key"
_WRITE = (
    "INSERT INTO surefoot_board (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_REMOVE = "DELETE FROM surefoot_board WHERE key = %s"


class PostgresBoard:
    """The table `surefoot_board`, through one connection of each process."""

    def __init__(self, url: str, password: str | None = None) -> None:
        self._database = Postgres(url, password, "surefoot_board", _CREATE)

    async def read(self, prefix: str) -> dict[str, str]:
        async def select(connection: Connection) -> dict[str, str]:
            return dict(await (await connection.execute(_READ, (prefix,))).fetchall())

        return await self._run(select)

    async def write(self, key: str, value: str | None) -> None:
        async def change(connection: Connection) -> None:
            if value is None:
                await connection.execute(_REMOVE, (key,))
            else:
                await connection.execute(_WRITE, (key, value))

        await self._run(change)

    async def close(self) -> None:
        await self._database.close()

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.run(work)
        except PostgresUnavailable as error:
            raise BoardUnavailable(f"board in {error}; check conversations.store") from error
