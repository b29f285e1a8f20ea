"""A run's record: every transition of it as an event with its time, its actor and its reason, chained by hash.

Each event's hash covers everything in it and the hash of the event before, so that an edit, a deletion or another
order shows (the chain of Haber and Stornetta, "How to time-stamp a digital document", 1991).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, PlainSerializer
from pydantic_core import from_json, to_json

from contracts.base import Contract, Json

EventKind = Literal[
    "run.started",
    "run.paused",
    "run.resumed",
    "run.ending",
    "run.completed",
    "run.failed",
    "run.undone",
    "run.cancelled",
    "run.note",
    "run.migrated",
    "step.running",
    "step.waiting",
    "step.attention",
    "step.completed",
    "step.skipped",
    "step.failed",
    "step.cancelled",
    "step.undoing",
    "step.undone",
    "step.kept",
    "step.amended",
    "step.repaired",
    "approval.opened",
    "approval.approve",
    "approval.reject",
    "approval.withdraw",
    "approval.claim",
    "approval.release",
    "approval.delegate",
    "approval.comment",
    "approval.edited",
    "approval.reminded",
    "approval.escalated",
    "approval.expired",
    "approval.decided",
    "budget.warned",
    "budget.raised",
    "budget.used_up",
    "plan.made",
    "plan.changed",
    "state.written",
    "message.refused",
    "notice.undelivered",
]

END_KINDS: Mapping[str, EventKind] = {
    "completed": "run.completed",
    "failed": "run.failed",
    "undone": "run.undone",
    "cancelled": "run.cancelled",
}
"""The last event of a run, by the status in which it ended."""

ENGINE = "system:surefoot"
"""The actor of what nobody ordered: steps that start when their needs have settled, reminders, expiry."""
TEMPORAL = "system:temporal"
"""The actor of what came through Temporal itself, which does not say who it was."""

UNKNOWN = "system:unknown"
"""The actor of what somebody sent who did not say who they are, or said that they are the engine."""

MAX_DATA_BYTES = 4_000
"""Of one value in an event's data, as JSON; a larger one is in the record by its size and SHA-256."""

BEGINNING = "0" * 64
"""What the first event follows."""


class Happening(Contract):
    """What happened, before it has its place in a record."""

    at: datetime
    kind: EventKind
    by: str = ENGINE
    step: str | None = None
    reason: str = ""
    data: dict[str, Json] = {}


class RunEvent(Happening):
    """One transition of a run. `number` counts from 1 without a gap; `previous` is the hash of the event before, of the
    first one 64 zeros; both hashes are SHA-256 in hex.

    `execution`: Temporal's id of the run's first execution, which tells a workflow id that is used again apart.
    """

    run: str
    execution: str
    number: Annotated[int, Field(ge=1)]
    by: str = Field(description="user:NAME, agent:NAME, step:ID or system:surefoot")
    previous: str
    hash: str

    @property
    def text(self) -> str:
        """The event as it is stored and exported: canonical JSON."""
        return _canonical(self.model_dump(mode="json", exclude_defaults=True))


_Lean = PlainSerializer(lambda happening: happening.model_dump(mode="json", exclude_defaults=True))
Happenings = tuple[Annotated[Happening, _Lean], ...]
"""In their JSON what is as it is by default is left out: they go through the run's history."""


class RecordState(Contract):
    """Where a record stands: what is known to be written, and what `pending` adds to it."""

    written: int = 0
    head: str = BEGINNING
    pending: Happenings = ()


class WriteRecord(Contract):
    """Write these events, which follow event `after`, whose hash is `previous`. Those that are there already stay."""

    run: str
    execution: str
    process: str
    after: int
    previous: str
    events: Happenings


class TellingChannel(Contract):
    """A channel by its name, and the numbers of the events it tells people of."""

    name: str
    events: tuple[int, ...]


class Written(Contract):
    """The record is written up to the event `through`, whose hash is `head`. `channels`: by which people are told of
    events among these."""

    through: int
    head: str | None = None
    channels: tuple[TellingChannel, ...] = ()


class RecordsUnavailable(Exception):
    """The records database cannot be read or written now; the message names it."""


class Stored(Contract):
    """An event as it lies in the database. `text`: its exact JSON. `problem`: why that is not what was written, when
    its row shows so: it says something else, or cannot be decrypted."""

    execution: str
    number: int
    hash: str
    text: str
    written: datetime
    problem: str | None = None


class EventQuery(Contract):
    """Which events of which runs; what is left out holds of all. `kind` and `run` may hold `*`."""

    run: str | None = None
    process: str | None = None
    since: datetime | None = None
    kind: str | None = None
    by: str | None = None
    step: str | None = None
    limit: Annotated[int, Field(ge=1)] = 1_000


class RecordStore(Protocol):
    """Both raise RecordsUnavailable."""

    async def read(self, run: str, execution: str | None = None) -> list[Stored]:
        """A run's events by number; of an event that was written in several versions all, the first written first.
        `execution`: None for the last that began under this id."""

    async def find(self, query: EventQuery) -> list[Stored]:
        """The newest that fit, in the order of their times."""

    async def outdated(self) -> str | None:
        """How the database's tables differ from those that this version knows, in words; None when they do not."""


class RecordMark(Contract):
    """How far a record goes: its number of events, and the hash of the last one, which stands for all of them."""

    events: int
    head: str


class RecordTail(Contract):
    """Query `log`: what a run has not written yet, and how far its record goes with it."""

    mark: RecordMark
    execution: str
    pending: tuple[RunEvent, ...] = ()


def link(happening: Happening, run: str, execution: str, number: int, previous: str) -> tuple[dict[str, Any], str]:
    """An event's JSON without its hash, and its hash."""
    plain = happening.model_dump(mode="json", exclude_defaults=True)
    plain.update(run=run, execution=execution, number=number, previous=previous, by=happening.by)
    return plain, hash_of(plain)


def chained(request: WriteRecord) -> list[RunEvent]:
    """What happened, as events at their places."""
    events: list[RunEvent] = []
    previous = request.previous
    for number, happening in enumerate(request.events, start=request.after + 1):
        plain, previous = link(happening, request.run, request.execution, number, previous)
        events.append(RunEvent(**plain, hash=previous))
    return events


def hash_of(event: dict[str, Any]) -> str:
    """SHA-256 (hex) of an event's canonical JSON, without its hash."""
    return hashlib.sha256(_canonical(event).encode()).hexdigest()


def digest(value: Json) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(_canonical(from_json(_as_json(value))).encode()).hexdigest()


def bounded(value: Json) -> Json:
    """The value as JSON has it, or what identifies it when it is too large for an event."""
    if type(value) is int or (type(value) is str and value.isascii() and len(value) <= MAX_DATA_BYTES // 6):
        return value  # as nearly all are; JSON escapes a character with six bytes at most
    text = _as_json(value)
    if len(text) <= MAX_DATA_BYTES:
        return from_json(text)
    return {"left_out": f"{len(text)} bytes", "sha256": digest(value)}


def _as_json(value: Json) -> bytes:
    return to_json(value, inf_nan_mode="null")


def break_of(lines: Iterable[str], mark: RecordMark | None = None) -> str | None:
    """The first place where a record is not what was written, in words; None when the chain holds. `lines`: its events
    in order, each as JSON; `mark`: how far it has to go."""
    number, previous = 0, BEGINNING
    for line in lines:
        number += 1
        event = _parsed(line)
        if event is None:
            return f"event {number} was changed: it is no longer the JSON of an event"
        if event.get("number") != number:
            return _misplaced(number, event.get("number"))
        if hash_of({name: value for name, value in event.items() if name != "hash"}) != event.get("hash"):
            return f"event {number} was changed: its content does not have its hash"
        if event.get("previous") != previous:
            return f"event {number} does not follow event {number - 1}: one of them was replaced"
        previous = event["hash"]
    if mark is None or (number == mark.events and previous == mark.head):
        return None
    if number < mark.events:
        return f"event {number + 1} is missing, with all that follows: the run made {mark.events} events"
    if number > mark.events:
        return f"event {mark.events + 1} is not of the run, which made {mark.events} events"
    return f"event {number} was replaced: the run made another one, of hash {mark.head}"


def _misplaced(expected: int, found: object) -> str:
    if not isinstance(found, int):
        return f"event {expected} was changed: it has no number"
    if found < expected:
        return f"event {found} stands where event {expected} belongs"
    return f"event {expected} is missing: event {found} stands in its place"


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
"""Keys sorted, no spaces, text as it is: what `json.dumps` makes with these options."""
