"""One connection to a PostgreSQL database, opened by the first call and again after it was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import psycopg

from contracts.settings import without_credentials

T = TypeVar("T")
Connection: TypeAlias = "psycopg.AsyncConnection[Any]"

CALL_SECONDS = 10.0

_CREATE_LOCK = 7_233_004
"""Several workers that start at once make their tables one after the other."""


class PostgresUnavailable(Exception):
    """The database cannot be read or written now; the message names it."""


class Postgres:
    """`create`: the statements that make `table`, for when it is not there; a user who may not create one needs it made
    beforehand."""

    def __init__(self, url: str, password: str | None, table: str, create: Sequence[str]) -> None:
        self._url = url
        self._password = password
        self._table = table
        self._create = create
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What the work gives, in one transaction. It may be done twice.

        Raises:
            PostgresUnavailable: there is no connection, or the database refuses.
        """
        try:
            async with asyncio.timeout(CALL_SECONDS), self._lock:
                fresh = self._connection is None
                try:
                    return await self._attempt(work)
                except psycopg.OperationalError:
                    if fresh:
                        raise
                    # The server was restarted, or a firewall cut an idle connection.
                    return await self._attempt(work)
        except (psycopg.Error, OSError, TimeoutError) as error:
            reason = str(error).strip() or f"no answer in {CALL_SECONDS:.0f} s"
            raise PostgresUnavailable(f"{without_credentials(self._url)}: {reason}") from error

    async def close(self) -> None:
        async with self._lock:
            await self._let_go()

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            connection = self._connection or await self._open()
            async with connection.transaction():
                return await work(connection)
        except BaseException:
            # Also one that was cancelled in the middle of a call is in no state to be used again.
            await self._let_go()
            raise

    async def _open(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,  # prepared statements do not get through a pooler that shares connections
            connect_timeout=int(CALL_SECONDS),
            password=self._password,
        )
        self._connection = connection
        found = await (await connection.execute("SELECT to_regclass(%s)", (self._table,))).fetchone()
        if found is None or found[0] is None:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
                for statement in self._create:
                    await connection.execute(statement)
        return connection

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
