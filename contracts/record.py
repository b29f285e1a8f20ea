"""A run's record: every transition of it as an event with its time, its actor and its reason, chained by hash.

Each event's hash covers everything in it and the hash of the event before, so that an edit, a deletion or another
order shows (the chain of Haber and Stornetta, "How to time-stamp a digital document", 1991).
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import to_json

from contracts.base import Contract, Json, canonical

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
    "plan.made",
    "plan.changed",
    "state.written",
    "message.refused",
    "notice.undelivered",
]

ENGINE = "system:surefoot"
"""The actor of what nobody ordered: steps that start when their needs have settled, reminders, expiry."""

MAX_DATA_BYTES = 4_000
"""Of one value in an event's data, as JSON; a larger one is in the record by its size and SHA-256."""


class RunEvent(Contract):
    """One transition of a run. `number` counts from 1 without a gap; `previous` is the hash of the event before, of the
    first one 64 zeros; both hashes are SHA-256 in hex."""

    run: str
    number: Annotated[int, Field(ge=1)]
    at: datetime
    kind: EventKind
    by: str = Field(description="user:NAME, agent:NAME, step:ID or system:surefoot")
    step: str | None = None
    reason: str = ""
    data: dict[str, Json] = {}
    previous: str
    hash: str


BEGINNING = "0" * 64
"""What the first event follows."""


class RecordState(Contract):
    """Where a record stands. `pending`: events that are not known to be written yet."""

    count: int = 0
    head: str = BEGINNING
    pending: tuple[RunEvent, ...] = ()


class WriteRecord(Contract):
    """Write these events, in order. Events that are there already stay as they are."""

    run: str
    events: tuple[RunEvent, ...]


class Written(Contract):
    """The record is written up to the event `through`. `channels`: through which people are told of events."""

    through: int
    channels: tuple[str, ...] = ()


def hash_of(event: RunEvent | dict[str, Any]) -> str:
    """SHA-256 (hex) of an event without its own hash, as canonical JSON: sorted keys, no spaces."""
    plain = event.model_dump(mode="json", exclude={"hash"}) if isinstance(event, RunEvent) else event
    return hashlib.sha256(to_json(canonical(plain))).hexdigest()


def bounded(value: Json) -> Json:
    """The value, or what identifies it when it is too large for an event."""
    text = to_json(value)
    if len(text) <= MAX_DATA_BYTES:
        return value
    return {"left_out": f"{len(text)} bytes", "sha256": hashlib.sha256(text).hexdigest()}


def break_of(events: Iterable[RunEvent], after: RecordState = RecordState()) -> str | None:  # noqa: B008 - immutable
    """The first place where a record is not what was written, in words; None when the chain holds."""
    number, head = after.count, after.head
    for event in events:
        number += 1
        if event.number != number:
            return f"event {number} is missing: {event.number} follows {number - 1}"
        if event.previous != head:
            return f"event {number} does not follow event {number - 1}: one of them was changed or replaced"
        if hash_of(event) != event.hash:
            return f"event {number} was changed: its content does not have its hash"
        head = event.hash
    return None
