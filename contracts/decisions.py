"""What people say to a run: decisions, repairs, cancels; as updates, and as signals with the same payload."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import to_json

from contracts.base import Contract, Json, canonical


def actor(value: object) -> object:
    """`alice` is `user:alice`."""
    return f"user:{value}" if isinstance(value, str) and value and ":" not in value else value


PARENT = "system:parent"
"""The run that a sub-process works for, by which it is stopped. Sent as a signal; nobody else is taken for it."""


def is_of_system(by: str) -> bool:
    """Whether this is the engine, which no person may speak as."""
    return by.startswith("system:")


Actor = Annotated[
    str,
    BeforeValidator(actor),
    Field(pattern=r"^[a-z]+:[^\s:\x00-\x1f\x7f]+$", max_length=200, examples=["user:alice"]),
]


MAX_COMMENT = 5_000
"""Characters. Everybody who is asked reads it, and a run carries it along."""

Reason = Annotated[str, Field(max_length=MAX_COMMENT)]

Verb = Literal["approve", "reject", "withdraw", "claim", "release", "delegate", "comment"]


class Decision(Contract):
    """`{"step": "sign_off", "decision": "approve", "by": "user:cfo"}`.

    `approve` and `reject` are votes; a reject needs a `comment`. `withdraw` takes one's own vote back while the outcome
    is open. `claim` keeps the decision for oneself, `release` gives it back. `delegate` hands one's own say over to
    somebody else, `to`. `comment` is only that.

    `id` makes repeats the same decision. `hash` is of what was decided on, as the view shows it; when given and
    stale, the decision is refused. `edits` is for approvals that allow it.
    """

    step: str
    decision: Verb
    by: Actor
    comment: Reason = ""
    id: str | None = None
    hash: str | None = None
    edits: Json = None
    to: Actor | None = None


class AgentChange(Contract):
    """What an operator has an agent step tried again with, instead of what the process says; None: as it says."""

    task: str | None = None
    instructions: str | None = None
    model: str | tuple[str, ...] | None = None


RepairAction = Literal["retry", "amend", "skip", "complete", "replan", "fallback", "abort", "pause", "resume", "note"]


class Repair(Contract):
    """What an operator does about an incident, or to a run that goes on.

    `value`: new arguments for `amend`, the output for `complete`, `{"undo": false}` for an `abort` that leaves effects
    as they are, the step to go on with for `fallback`. `agent`: for an `amend` of an agent step. `amend` is also for a
    step that has not begun. `pause` and `resume` are about the run, and `note` may be: their `step` is empty.
    """

    step: str = ""
    action: RepairAction
    by: Actor
    reason: Reason = ""
    value: Json = None
    agent: AgentChange | None = None
    id: str | None = None


class Cancel(Contract):
    """Stop the run; with `undo`, take back what completed."""

    by: Actor
    reason: Reason = ""
    undo: bool = True
    id: str | None = None


class Difference(Contract):
    """One place that a repair changes: its path (`arguments.amount`), what was there, what is there now."""

    path: str
    before: Json = None
    after: Json = None


class Receipt(Contract):
    """The answer to any of them: what holds now, in words (`outcome`) and as the step's or run's `status`."""

    outcome: str
    status: str
    difference: tuple[Difference, ...] = ()


def subject_hash(subject: dict[str, Any]) -> str:
    """SHA-256 (hex) of the exact thing decided on, as canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(to_json(canonical(subject))).hexdigest()
