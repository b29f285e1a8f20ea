"""`starter.py log`: what happened in a run or in many, in order; exported, and held to its hashes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from rich.text import Text
from temporalio.client import Client

from cli.connection import connected
from cli.events import table_of
from cli.output import Exit, Output
from cli.parts import OpenRecords
from contracts.base import Json, parse_duration
from contracts.errors import CallerError, ServerUnreachable
from contracts.record import END_KINDS, EventQuery, RecordStore, RecordsUnavailable, RunEvent, break_of
from runtime.records import RunRecord, readable, record_of, without_end
from runtime.settings import load_settings

FOLLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Wanted:
    """Which events, as they were asked for."""

    run: str | None = None
    execution: str | None = None
    process: str | None = None
    since: str | None = None
    step: str | None = None
    kind: str | None = None
    by: str | None = None
    limit: int = 1_000

    def has(self, event: RunEvent) -> bool:
        since = self.began
        return (
            (self.step is None or event.step == self.step or _is_inside(event.step, self.step))
            and (self.kind is None or fnmatchcase(event.kind, self.kind))
            and (self.by is None or event.by == self.by)
            and (since is None or event.at >= since)
        )

    @property
    def began(self) -> datetime | None:
        """Raises:
        CallerError: `since` is neither a duration nor a time.
        """
        if self.since is None:
            return None
        try:
            return datetime.now(UTC) - parse_duration(self.since)
        except ValueError:
            pass
        try:
            at = datetime.fromisoformat(self.since)
        except ValueError as error:
            raise CallerError(f"--since {self.since!r}: write 7d, 12h or a time such as 2026-12-01T09:00") from error
        return at if at.tzinfo else at.astimezone()

    def query(self) -> EventQuery:
        return EventQuery(
            process=self.process, since=self.began, kind=self.kind, by=self.by, step=self.step, limit=self.limit
        )


async def show_log(
    output: Output, open_records: OpenRecords, wanted: Wanted, *, jsonl: bool, export: Path | None, follow: bool
) -> Exit:
    """Print the events that are wanted, or write them to a file as JSON Lines."""
    async with _store(output, open_records) as store:
        if wanted.run is None:
            events = readable([row.text for row in await store.find(wanted.query())])
            return _show(output, events, jsonl=jsonl, export=export, runs=True)
        async with _server(output) as client:
            record = await record_of(client, store, wanted.run, wanted.execution)
            _say_notes(output, record)
            status = _show(output, [e for e in record.events if wanted.has(e)], jsonl=jsonl, export=export, runs=False)
            if follow and client is not None and export is None:
                await _follow(output, client, store, record, wanted)
    return status


async def verify(output: Output, open_records: OpenRecords, wanted: Wanted, head: str | None) -> Exit:
    """Hold a record, or an exported file of one, to its hashes. `head`: a hash that it has to have."""
    given = wanted.run or ""
    notes: tuple[str, ...] = ()
    if (file := Path(given)).is_file():
        lines = _lines_of(file)
        problem = break_of(lines) or (without_end(lines) if lines and head is None else None)
    else:
        async with _store(output, open_records) as store, _server(output) as client:
            record = await record_of(client, store, given, wanted.execution)
        lines, notes, problem = record.lines, record.notes, record.problem()
    if not lines:
        raise CallerError(f"{given} holds no events")
    if problem is None and head is not None and not any(event.hash == head for event in readable(lines)):
        problem = f"no event has the hash {head}"
    last = readable(lines[-1:])
    said: dict[str, Json] = {"holds": problem is None, "problem": problem, "events": len(lines), "notes": list(notes)}
    said["head"] = last[0].hash if last else None
    for note in notes:
        output.say(f"note: {note}")
    holds = Text(f"the record holds: {len(lines)} events, head {said['head']}")
    output.show(holds if problem is None else Text(f"the record is broken: {problem}", style="attention"), said)
    return Exit.HOLDS if problem is None else Exit.RUN_FAILED


def _show(output: Output, events: Sequence[RunEvent], *, jsonl: bool, export: Path | None, runs: bool) -> Exit:
    if export is not None:
        export.write_text("".join(f"{event.text}\n" for event in events), "utf-8")
        output.show(Text(f"wrote {len(events)} events to {export}"), {"file": str(export), "events": len(events)})
    elif jsonl:
        output.out.file.writelines(f"{event.text}\n" for event in events)
    elif output.as_json:
        output.document([event.model_dump(mode="json") for event in events])
    elif events:
        output.out.print(table_of(events, runs=runs))
    else:
        output.say("no such events")
    return Exit.HOLDS


async def _follow(output: Output, client: Client, store: RecordStore, record: RunRecord, wanted: Wanted) -> None:
    seen = len(record.lines)
    while not _is_over(record):
        await asyncio.sleep(FOLLOW_SECONDS)
        record = await record_of(client, store, record.run, wanted.execution)
        fresh, seen = readable(record.lines[seen:]), len(record.lines)
        if (more := [event for event in fresh if wanted.has(event)]) and not output.as_json:
            output.out.print(table_of(more, runs=False, header=False))
        elif more:
            output.out.file.writelines(f"{event.text}\n" for event in more)


def _is_over(record: RunRecord) -> bool:
    last = record.events[-1:]
    return not record.known.goes_on or bool(last and last[0].kind in END_KINDS.values())


def _say_notes(output: Output, record: RunRecord) -> None:
    for note in record.notes:
        output.say(f"note: {note}")
    if record.broken:
        output.say(f"note: {record.broken}; `--verify` tells more")


def _lines_of(file: Path) -> tuple[str, ...]:
    try:
        # Only here: texts in JSON may hold other characters that end a line elsewhere, as they are.
        return tuple(line for line in file.read_text("utf-8").split("\n") if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"{file}: the file cannot be read: {error}") from error


def _is_inside(step: str | None, outer: str) -> bool:
    return step is not None and step.startswith(outer) and step[len(outer) :][:1] in (".", "[", "#", "/")


@asynccontextmanager
async def _store(output: Output, open_records: OpenRecords) -> AsyncIterator[RecordStore]:
    """Raises:
    ServerUnreachable: the database cannot be read, and nothing else has what was asked for.
    """
    try:
        async with open_records(load_settings()) as store:
            yield store
    except RecordsUnavailable as error:
        raise ServerUnreachable(f"{error}; check records.url and its password") from error


@asynccontextmanager
async def _server(output: Output) -> AsyncIterator[Client | None]:
    """A client; None when no server answers, since what was written can be read without one."""
    async with AsyncExitStack() as stack:
        client: Client | None = None
        try:
            client = (await stack.enter_async_context(connected())).client
        except ServerUnreachable as error:
            output.say(f"note: {error}; what runs have not written yet is not here")
        yield client
