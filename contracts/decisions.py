"""What people say to a run: decisions, repairs, cancels; as updates, and as signals with the same payload."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import to_json

from contracts.base import Contract, Json


def actor(value: object) -> object:
    """`alice` is `user:alice`."""
    return f"user:{value}" if isinstance(value, str) and value and ":" not in value else value


Actor = Annotated[str, BeforeValidator(actor), Field(pattern=r"^[a-z]+:[^\s:]+$", examples=["user:alice"])]


class Decision(Contract):
    """`{"step": "sign_off", "decision": "approve", "by": "user:cfo"}`.

    `id` makes repeats the same decision. `hash` is of what was decided on, as the view shows it; when given and
    stale, the decision is refused. A reject needs a `comment`. `edits` is for approvals that allow it.
    """

    step: str
    decision: Literal["approve", "reject"]
    by: Actor
    comment: str = ""
    id: str | None = None
    hash: str | None = None
    edits: Json = None


class Repair(Contract):
    """What an operator does about an incident. `value`: new arguments for `amend`, the output for `complete`,
    `{"undo": false}` for an `abort` that leaves effects as they are."""

    step: str
    action: Literal["retry", "amend", "skip", "complete", "replan", "abort"]
    by: Actor
    reason: str = ""
    value: Json = None
    id: str | None = None


class Cancel(Contract):
    """Stop the run; with `undo`, take back what completed."""

    by: Actor
    reason: str = ""
    undo: bool = True
    id: str | None = None


class Receipt(Contract):
    """The answer to any of them: what holds now, in words (`outcome`) and as the step's or run's `status`."""

    outcome: str
    status: str


def subject_hash(subject: dict[str, Any]) -> str:
    """SHA-256 (hex) of the exact thing decided on, as canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(to_json(_sorted(subject))).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
