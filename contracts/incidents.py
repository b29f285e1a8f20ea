"""What operators see of a run: steps that are parked, what they did about them, and what they remarked."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Contract, Json
from contracts.decisions import Repair, RepairAction
from contracts.errors import ErrorInfo
from contracts.process import Saved

MAX_TRIED = 5
"""Rows of tries of one step that are kept; the last ones."""
MAX_REMARKS = 50
"""Notes of one run that are kept in it; the last ones."""


class Tried(Contract):
    """A row of tries that came to nothing, ended by a stop for an operator. Of tries that Temporal made by itself only
    the last failure is known."""

    since: datetime
    until: datetime
    times: int = Field(description="0 when it failed before anything was called")
    attempts: int = Field(description="of the step in all, until then")
    error: str = Field(description="the last one, in words")


class Repaired(Contract):
    """What an operator did last about a step. `pending`: what is not done yet, and goes on after a continue-as-new."""

    action: RepairAction
    by: str
    at: datetime
    pending: Repair | None = None


class Kept(Contract):
    """A completed step that had an effect, and is not done again."""

    step: str
    what: str = Field(description="one line: what it did, and the beginning of what came back")
    at: datetime
    undo: str | None = Field(default=None, description="the tool that an abort would take it back with")


class Choice(Contract):
    """Something that can be done about an incident. `command`: as typed; capitals stand for what one has to fill in."""

    action: RepairAction
    does: str
    command: str


class Incident(Contract):
    """A parked step, for a person who did not write the process."""

    step: str
    title: str
    of: Literal["step", "undo"] = Field(default="step", description="what failed: the step, or taking it back")
    error: ErrorInfo
    since: datetime
    attempts: int
    tried: tuple[Tried, ...] = ()
    input: Json = None
    done: tuple[Kept, ...] = Field(default=(), description="the last completed steps with an effect")
    done_in_all: int = 0
    blocks: tuple[str, ...] = Field(default=(), description="steps that wait for this one directly")
    waiting: Annotated[int, Field(description="steps that wait for it, directly or not; counted up to 1,000")] = 0
    worth: Saved | None = Field(default=None, description="what the run saves once it is through")
    spent: float = Field(default=0.0, description="US dollars that the run's model calls cost so far")
    actions: tuple[Choice, ...] = ()


class Remark(Contract):
    """A note that somebody left on a run, or on a step of it."""

    at: datetime
    by: str
    text: str
    step: str | None = None


class Paused(Contract):
    """A run in which no step starts until it is resumed."""

    by: str
    at: datetime
    reason: str = ""
