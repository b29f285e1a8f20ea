"""The records database: SQLite or PostgreSQL through SQLAlchemy, its tables up to date before the first use."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from activities.records import schema
from contracts.record import RecordsUnavailable
from contracts.settings import without_credentials

T = TypeVar("T")

_SECONDS = 10
"""To connect, to wait for another process that writes, and for a network that does not answer."""
_CONNECTIONS = {"sqlite": 1, "postgresql": 4}
"""Of one process. SQLite lets one write at a time in any case."""


class Database:
    """Every call is one transaction, in a thread of the database's own."""

    def __init__(self, url: URL) -> None:
        self._url = url
        kind = url.get_backend_name()
        arguments: dict[str, Any] = {"timeout": _SECONDS}
        if kind == "postgresql":
            # Prepared statements do not get through a pooler that shares connections.
            arguments = {
                "connect_timeout": _SECONDS,
                "tcp_user_timeout": _SECONDS * 1_000,
                "prepare_threshold": None,
            }
        count = _CONNECTIONS[kind]
        self._engine = create_engine(
            url,
            connect_args=arguments,
            pool_size=count,
            max_overflow=0,
            pool_pre_ping=kind == "postgresql",
            hide_parameters=True,  # An error goes into the run's history, which is not to hold the events once more.
        )
        if kind == "sqlite":
            event.listen(self._engine, "connect", _begin_ourselves)
            event.listen(self._engine, "begin", _begin)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="records")
        self._is_current = False

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @property
    def is_there(self) -> bool:
        """Whether there is anything to read; a SQLite file that is not there is made by the first write."""
        return not self.is_sqlite or _file(self._url).exists()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What the work gives, once its transaction has been committed. Tables are brought up to date before the first.

        Raises:
            RecordsUnavailable: there is no connection, or the database refuses.
        """

        def transaction() -> T:
            if not self._is_current:
                if self.is_sqlite:
                    _file(self._url).parent.mkdir(parents=True, exist_ok=True)
                with self._writing() as connection:
                    schema.upgrade(connection)
                self._is_current = True
            with self._writing() as connection:
                return work(connection)

        return await self._run(transaction)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Raises:
        RecordsUnavailable: there is no connection, or the database refuses.
        """

        def transaction() -> T:
            with self._engine.connect() as connection:
                return work(connection)

        return await self._run(transaction)

    async def close(self) -> None:
        """Let go of files and connections. Calls that are under way end first."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _writing(self) -> Any:
        return self._engine.execution_options(**{_WRITES: True}).begin()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).strip()
            raise RecordsUnavailable(f"records in {self.name}: {reason}") from error

    @property
    def name(self) -> str:
        """The database, for people."""
        return str(_file(self._url)) if self.is_sqlite else without_credentials(str(self._url))


_WRITES = "surefoot_writes"


def _file(url: URL) -> Path:
    return Path(url.database or "")


def _begin_ourselves(connection: Any, _: object) -> None:
    """The driver would begin a transaction only before the first change, and none for changes of tables."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    """A write takes its turn at once: a transaction that has read would be refused where others write meanwhile."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
