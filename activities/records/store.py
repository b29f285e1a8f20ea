"""Runs' events in the records database: written once, never changed, read in order."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, Row, Select, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from activities.conversations.encrypted import Cipher
from activities.records import schema
from activities.records.database import Database
from activities.records.tables import events
from contracts.record import EventQuery, RecordsUnavailable, RunEvent, Stored, WriteRecord, chained

log = structlog.get_logger()

_KEY = (events.c.run, events.c.execution, events.c.number, events.c.hash)


class Records:
    """With a cipher, what an event says is encrypted; what it is found by is not: its run, number, time, kind, actor
    and step."""

    def __init__(self, database: Database, cipher: Cipher | None = None) -> None:
        self.database = database
        self._cipher = cipher

    async def prepare(self) -> None:
        """Bring the tables up to date, for those who read before anything is written. A database that is away now is
        brought up to date by the first write."""
        try:
            newer = await self.database.write(schema.newer)
        except RecordsUnavailable as error:
            log.warning("the records database is away; runs go on, and end when it is back", error=str(error))
        else:
            if newer:
                log.warning("the records database is of a later version", schema=newer)

    async def write(self, request: WriteRecord) -> None:
        """Add the events that are not there yet.

        Raises:
            RecordsUnavailable: none of them was written.
        """
        written = datetime.now(UTC)
        rows = [self._row(event, request.process, written) for event in chained(request)]

        def insert(connection: Connection) -> None:
            dialect = sqlite if self.database.is_sqlite else postgresql
            connection.execute(dialect.insert(events).on_conflict_do_nothing(index_elements=_KEY), rows)

        await self.database.write(insert)

    async def read(self, run: str, execution: str | None = None) -> list[Stored]:
        def rows(connection: Connection) -> list[Stored]:
            of_run = select(events.c.execution).where(events.c.run == run).group_by(events.c.execution)
            last = of_run.order_by(func.min(events.c.at).desc()).limit(1)
            which = execution or connection.execute(last).scalar()
            chosen = select(events).where(events.c.run == run, events.c.execution == which)
            return self._stored(connection, chosen.order_by(events.c.number, events.c.written))

        return await self._read(rows)

    async def find(self, query: EventQuery) -> list[Stored]:
        newest = select(events).where(*_conditions(query)).limit(query.limit)
        newest = newest.order_by(events.c.at.desc(), events.c.run.desc(), events.c.number.desc())
        return (await self._read(lambda connection: self._stored(connection, newest)))[::-1]

    async def outdated(self) -> str | None:
        if not self.database.is_there:
            return None
        return schema.difference(await self.database.read(schema.revision_of))

    async def close(self) -> None:
        await self.database.close()

    async def _read(self, rows: Callable[[Connection], list[Stored]]) -> list[Stored]:
        def current(connection: Connection) -> list[Stored]:
            revision = schema.revision_of(connection)
            if revision is not None and schema.is_older(revision):
                raise RecordsUnavailable(f"records in {self.database.name}: {schema.difference(revision)}")
            return rows(connection) if revision is not None else []

        return await self.database.read(current) if self.database.is_there else []

    def _stored(self, connection: Connection, chosen: Select[Any]) -> list[Stored]:
        return [self._open(row) for row in connection.execute(chosen)]

    def _row(self, event: RunEvent, process: str, written: datetime) -> dict[str, Any]:
        text = event.text
        return {
            "run": event.run,
            "execution": event.execution,
            "number": event.number,
            "hash": event.hash,
            "process": process,
            "at": event.at,
            "kind": event.kind,
            "actor": event.by,
            "step": event.step,
            "event": None if self._cipher else text,
            "sealed": self._cipher.encrypt(text.encode(), _about(event)) if self._cipher else None,
            "written": written,
        }

    def _open(self, row: Row[Any]) -> Stored:
        text, problem = row.event, None
        if row.sealed is not None:
            try:
                text = self._unseal(row)
            except ValueError as error:
                problem = f"cannot be decrypted: {error}"
        if text is not None and problem is None:
            problem = _contradiction(row, text)
        return Stored(
            execution=row.execution,
            number=row.number,
            hash=row.hash,
            text=text or "",
            written=_utc(row.written),
            problem=problem,
        )

    def _unseal(self, row: Row[Any]) -> str:
        if self._cipher is None:
            raise ValueError("there are no encryption.keys")
        return self._cipher.decrypt(row.sealed, _about(row)).decode()


def _conditions(query: EventQuery) -> list[Any]:
    found: list[Any] = []
    for column, wanted in (("run", query.run), ("kind", query.kind)):
        if wanted is not None:
            pattern = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
            found.append(events.c[column].like(pattern, escape="\\"))
    for column, wanted in (("process", query.process), ("actor", query.by)):
        if wanted is not None:
            found.append(events.c[column] == wanted)
    if query.step is not None:
        inside = (events.c.step.startswith(f"{query.step}{mark}", autoescape=True) for mark in (".", "[", "#", "/"))
        found.append(or_(events.c.step == query.step, *inside))
    if query.since is not None:
        found.append(events.c.at >= query.since)
    return found


def _contradiction(row: Row[Any], text: str) -> str | None:
    """Where a row's columns say something else than the event itself."""
    try:
        event = RunEvent.model_validate_json(text)
    except ValidationError:
        return "is no longer the JSON of an event"
    said = (event.run, event.execution, event.number, event.hash, event.kind, event.by, event.step, event.at)
    columns = (row.run, row.execution, row.number, row.hash, row.kind, row.actor, row.step, _utc(row.at))
    names = ("run", "execution", "number", "hash", "kind", "actor", "step", "at")
    wrong = [name for name, one, other in zip(names, said, columns, strict=True) if one != other]
    return f"says something else than its row's {', '.join(wrong)}" if wrong else None


def _about(event: RunEvent | Row[Any]) -> bytes:
    """What a sealed event belongs to, so that none can be passed off as another."""
    return f"{event.run}/{event.execution}/{event.number}".encode()


def _utc(at: datetime) -> datetime:
    """SQLite keeps no time zone; all times are in UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
