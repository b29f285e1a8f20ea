"""What operators see of a run: steps that are parked, and what they remarked."""

from datetime import datetime

from pydantic import Field

from contracts.base import Contract, Json
from contracts.errors import ErrorInfo


class Incident(Contract):
    """A parked step, for a person who did not write the process."""

    step: str
    title: str
    error: ErrorInfo
    since: datetime
    attempts: int
    input: Json = None
    done: tuple[str, ...] = Field(default=(), description="completed steps with an effect; not done again")
    blocks: tuple[str, ...] = Field(default=(), description="steps that wait for this one")
    actions: tuple[str, ...] = ("retry", "amend", "skip", "complete", "abort")


class Remark(Contract):
    """A note that somebody left on a run, or on a step of it."""

    at: datetime
    by: str
    text: str
    step: str | None = None
