"""SQL tools: one statement with bound parameters, read-only unless declared to write, in bounded time, bounded rows."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
import sqlalchemy.exc
from pydantic_core import to_jsonable_python
from sqlalchemy.engine import URL, Connection, CursorResult, Engine, make_url
from sqlalchemy.pool import NullPool

from contracts.base import Json
from contracts.connections import SECRET, SqlCall, fill
from contracts.tools import ToolContext, ToolError
from language.sql_guard import SqlRefused, answerable, as_checked
from language.tools.sql import KEY, sql_dialect

_BUSY = 5.0
MAX_THREADS = 64
"""Statements at work at once, in one worker."""
MAX_VALUE = 10_000_000
"""Bytes of one value or row in SQLite; no result is larger."""

_SQLITE_READS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_TRANSACTION}
)
_SQLITE_WRITES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_SQLITE_REFUSED = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zeroblob", "randomblob"}
)


class SqlConnector:
    """Engines of one worker, one for reading and one for writing per database."""

    def __init__(self) -> None:
        self._engines: dict[tuple[str, bool], Engine] = {}
        self._lock = threading.Lock()
        # Of its own: a database that hangs must not hold threads that others, such as the resolver of names, need.
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="sql")

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for engine in self._engines.values():
            engine.dispose()

    async def call(self, call: SqlCall, context: ToolContext, args: Mapping[str, Json]) -> Json:
        """Rows as objects; of a write without rows `{changed: N}`.

        Raises:
            ToolError: nothing was changed.
            sqlalchemy.exc.SQLAlchemyError: whether a write was committed is not known.
        """
        url = _url(call.url, context.secret)
        values = None if call.sql is None else dict(args)
        if values is not None and f":{KEY}" in str(call.sql):
            values[KEY] = context.idempotency_key
        text = str(args["sql"]) if call.sql is None else call.sql
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, call, url, text, values)

    def _run(self, call: SqlCall, url: str, text: str, values: dict[str, Json] | None) -> Json:
        deadline = time.monotonic() + call.timeout.total_seconds()
        if call.sql is None:
            dialect = sql_dialect(url)
            try:
                # The statement is an agent's: what runs is what was understood, and nothing is bound into it.
                text = as_checked(answerable(text, dialect), dialect)
            except SqlRefused as error:
                raise ToolError(f"not run: {error}", retry=False) from error
        try:
            connection = self._engine(url, call).connect()
        except sqlalchemy.exc.DBAPIError as error:
            raise ToolError(f"the database cannot be reached: {error.orig}") from error
        with connection, connection.begin() as transaction:
            _bound(connection, call, deadline)
            with _told():
                if not call.writes:
                    connection = connection.execution_options(stream_results=True, max_row_buffer=100)
                output = _rows(call, _execute(connection, text, values), deadline)
            try:
                transaction.commit()
            except sqlalchemy.exc.IntegrityError as error:
                raise ToolError(f"refused by the database: {error.orig}", retry=False) from error
            return output

    def _engine(self, url: str, call: SqlCall) -> Engine:
        with self._lock:
            known = self._engines.get((url, call.writes))
            if known is None:
                known = self._engines[url, call.writes] = _engine(make_url(url), call)
            return known


def _url(written: str, secret: Callable[[str], str]) -> str:
    """A secret that is a part of an address, such as a password, may hold any sign; a whole address is one already."""
    is_whole = SECRET.fullmatch(written.strip()) is not None
    return fill(written.strip(), secret if is_whole else lambda name: quote(secret(name), safe=""))


def _execute(connection: Connection, text: str, values: dict[str, Json] | None) -> CursorResult[Any]:
    if values is None:
        return connection.execution_options(no_parameters=True).exec_driver_sql(text)
    return connection.execute(sqlalchemy.text(text), values)


@contextmanager
def _told() -> Iterator[None]:
    """What the database says against a statement, while it runs and while its rows come."""
    try:
        yield
    except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InternalError) as error:
        # The transaction is rolled back, so that this is known not to have happened.
        raise ToolError(f"the database did not run it: {error.orig}", retry=_may_pass(error)) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        said = getattr(error, "orig", None) or error
        raise ToolError(f"refused by the database: {said}", retry=False) from error


def _may_pass(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Not what the database understood and will not do."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return not str(state).startswith(("25", "42", "57014", "0A"))
    return any(word in str(error.orig) for word in ("locked", "unable to open", "busy", "disk I/O"))


def _rows(call: SqlCall, result: CursorResult[Any], deadline: float) -> Json:
    if not result.returns_rows:
        return {"changed": max(result.rowcount, 0)}
    names = list(result.keys())
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        result.close()
        raise ToolError(f"two columns are called {repeated[0]}; give each a name of its own with AS", retry=False)
    found: list[Json] = []
    with closing(result):
        for row in result:
            if len(found) == call.rows:
                raise ToolError(f"more than {call.rows} rows; ask for fewer with a condition or LIMIT", retry=False)
            if time.monotonic() > deadline:
                raise ToolError("its rows took too long; ask for fewer with a condition or LIMIT", retry=False)
            found.append(dict(zip(names, map(_json, row), strict=True)))
    return found


def _json(value: Any) -> Json:
    if isinstance(value, Decimal):
        # As a number when that loses nothing, so that it compares; money with more digits stays what it is, as text.
        if not value.is_finite():
            return str(value)
        return int(value) if value == value.to_integral_value() else _exact(value)
    return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="null")


def _exact(value: Decimal) -> float | str:
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)


def _engine(url: URL, call: SqlCall) -> Engine:
    if url.get_backend_name() == "sqlite":
        return sqlalchemy.create_engine("sqlite://", creator=lambda: _sqlite(url, call), poolclass=NullPool)
    options: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
        options = {"connect_timeout": 10}
    return sqlalchemy.create_engine(url, pool_pre_ping=True, connect_args=options, hide_parameters=True)


def _sqlite(url: URL, call: SqlCall) -> sqlite3.Connection:
    path = Path(call.folder) / (url.database or "")
    uri = f"file:{quote(str(path))}?mode={'rw' if call.writes else 'ro'}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY, check_same_thread=False)
    # One call of a function can otherwise make a value of a gigabyte, and no deadline is looked at meanwhile.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    return connection


def guard(connection: sqlite3.Connection, *, writes: bool) -> None:
    """From here on every action is asked for: no other database, no setting, no file but this one."""
    if not writes:
        connection.execute("PRAGMA query_only = ON").close()
    allowed = _SQLITE_READS | (_SQLITE_WRITES if writes else frozenset())

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_DENY if str(second).lower() in _SQLITE_REFUSED else sqlite3.SQLITE_OK
        return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _bound(connection: Connection, call: SqlCall, deadline: float) -> None:
    """The transaction ends at the deadline, and the database itself sees to it that it only reads."""
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        guard(raw, writes=call.writes)
        raw.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    elif connection.dialect.name == "postgresql":
        if not call.writes:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        milliseconds = max(1, int((deadline - time.monotonic()) * 1000))
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
