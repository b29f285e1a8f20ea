"""A run's record as it is read: what the records database has, and what a run that goes on has not written yet."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from contracts.errors import UnknownRun
from contracts.names import LOG_QUERY
from contracts.record import (
    END_KINDS,
    RecordMark,
    RecordStore,
    RecordsUnavailable,
    RecordTail,
    RunEvent,
    Stored,
    break_of,
)
from contracts.run import RunResult
from runtime.runs import describe
from runtime.watch import ask

_CUT_SHORT = {
    WorkflowExecutionStatus.TERMINATED: "terminated",
    WorkflowExecutionStatus.TIMED_OUT: "timed out",
}
"""Ends that Temporal makes, of which a run itself learns nothing."""


@dataclass(frozen=True)
class Known:
    """What Temporal knows of a run's record. `mark`: how far it goes, when the run can tell; `status`: None when
    Temporal does not know the run, or cannot be asked."""

    execution: str | None = None
    status: WorkflowExecutionStatus | None = None
    mark: RecordMark | None = None
    pending: tuple[RunEvent, ...] = ()
    note: str | None = None

    @property
    def goes_on(self) -> bool:
        return self.status in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)


@dataclass(frozen=True)
class RunRecord:
    """`lines`: every event in order, each as its exact JSON. `unwritten`: how many of the last ones only the run has.
    `broken`: that the database cannot be read, or its first row that says itself that it is not what was written.
    `notes`: what a reader has to know besides."""

    run: str
    lines: tuple[str, ...] = ()
    unwritten: int = 0
    known: Known = Known()
    broken: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def events(self) -> list[RunEvent]:
        """Those that can be read."""
        return readable(self.lines)

    def problem(self) -> str | None:
        """The first place where the record is not what the run wrote, in words; None when it holds."""
        known = self.known
        if broken := self.broken or break_of(self.lines, known.mark):
            return broken
        return None if known.goes_on or known.status in _CUT_SHORT else without_end(self.lines)


def without_end(lines: Sequence[str]) -> str | None:
    """What is wrong when a record that has to be whole does not end with the run's end."""
    last = json.loads(lines[-1])
    if (kind := last.get("kind")) in END_KINDS.values():
        return None
    return f"it breaks off after event {len(lines)} ({kind}), before the run's end: what follows is missing"


def readable(lines: Sequence[str]) -> list[RunEvent]:
    events: list[RunEvent] = []
    for line in lines:
        try:
            events.append(RunEvent.model_validate_json(line))
        except ValidationError:
            continue
    return events


async def record_of(client: Client | None, store: RecordStore, run: str, execution: str | None = None) -> RunRecord:
    """A run's record, of the last execution under its id or of a given one. `client`: None when no server answers.

    Raises:
        UnknownRun: neither Temporal nor the database knows it.
        RecordsUnavailable: the database cannot be read, and the run has nothing to tell either.
    """
    known, missing = Known(), None
    if client is not None:
        try:
            known = await _known(client, run, execution)
        except UnknownRun as error:
            missing = error
    notes = [known.note] if known.note else []
    stored: list[Stored] = []
    away: str | None = None
    try:
        stored = await store.read(run, execution or known.execution)
    except RecordsUnavailable as error:
        if not known.pending:
            raise
        away = f"{error}; this is only what the run has not written yet"
    if not stored and not known.pending and known.mark is None:
        raise missing or UnknownRun(f"there is no record of a run {run!r}")
    rows, left_out = _main_line(_as_of(known, stored), known)
    if left_out:
        notes.append(
            f"{len(left_out)} events, from number {left_out[0].number}, are of a course that was given up: the run was "
            "reset in Temporal, or somebody put others in their place"
        )
    if known.status in _CUT_SHORT:
        notes.append(f"the run was {_CUT_SHORT[known.status]} through Temporal, so its record has no end")
    unwritten = {event.hash for event in known.pending} - {row.hash for row in stored}
    return RunRecord(
        run=run,
        lines=tuple(row.text for row in rows),
        unwritten=sum(row.hash in unwritten for row in rows),
        known=known,
        broken=away or next((f"event {row.number} {row.problem}" for row in rows if row.problem), None),
        notes=tuple(notes),
    )


async def _known(client: Client, run: str, execution: str | None) -> Known:
    found = await describe(client, run)
    first = found.raw_description.workflow_execution_info.first_run_id
    if execution is not None and execution != first:
        return Known(note="Temporal has a later execution of this run; this one is told by the database alone")
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(run)
    known = Known(execution=first, status=found.status, mark=await _last_word(handle, found))
    if known.mark is not None:
        return known
    try:
        tail: RecordTail = await ask(handle, LOG_QUERY, RecordTail)
    except (WorkflowQueryFailedError, RPCError):
        note = "no worker answers for the run, so what it has not written yet is not here; start one with `worker.py`"
        return replace(known, note=note)
    return replace(known, mark=tail.mark, pending=tail.pending)


async def _last_word(handle: WorkflowHandle[Any, Any], found: WorkflowExecutionDescription) -> RecordMark | None:
    """How far the record of a run goes that has ended: in its result or its failure, for which no worker is needed."""
    if found.status not in (WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.FAILED):
        return None
    try:
        return RunResult.model_validate(await handle.result()).record
    except WorkflowFailureError as failed:
        cause = failed.cause
        details = cause.details if isinstance(cause, ApplicationError) else ()
        said = next((detail["record"] for detail in details if isinstance(detail, dict) and "record" in detail), None)
        return RecordMark.model_validate(said) if said else None


def _as_of(known: Known, stored: list[Stored]) -> list[Stored]:
    """What was written, and what the run has not written, at the moment when it was asked; by number."""
    written = {row.hash for row in stored}
    rows = [row for row in stored if not known.goes_on or known.mark is None or row.number <= known.mark.events]
    rows += [_unwritten(event) for event in known.pending if event.hash not in written]
    return sorted(rows, key=lambda row: row.number)


def _unwritten(event: RunEvent) -> Stored:
    return Stored(execution=event.execution, number=event.number, hash=event.hash, text=event.text, written=event.at)


def _main_line(rows: list[Stored], known: Known) -> tuple[list[Stored], list[Stored]]:
    """The events that lead to where the run stands, and those that lead elsewhere.

    There are others only of a run that was reset: it went back, and made other events of the same numbers.
    """
    if len({row.number for row in rows}) == len(rows):
        return rows, []
    wanted = known.mark.head if known.mark and any(row.hash == known.mark.head for row in rows) else _last(rows)
    chosen: list[Stored] = []
    for _, versions in groupby(reversed(rows), key=lambda row: row.number):
        last, *earlier = versions
        found = next((row for row in (last, *earlier) if row.hash == wanted), None)
        if found is not None or chosen:
            chosen.append(found or last)
            wanted = _previous(chosen[-1])
    kept = set(map(id, chosen))
    return chosen[::-1], [row for row in rows if id(row) not in kept]


def _last(rows: list[Stored]) -> str:
    """The hash of the last event of those that were written last, which is how far a run came that cannot be asked."""
    return max(rows, key=lambda row: (row.written, row.number)).hash


def _previous(row: Stored) -> str:
    try:
        return RunEvent.model_validate_json(row.text).previous
    except ValidationError:
        return ""
