"""What can be followed while a run works: what agents say, what they call, how steps go on. No part of any history."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from contracts.base import Contract, Json
from contracts.errors import ErrorInfo
from contracts.run import RunStatus, StepStatus


class WrittenCall(Contract):
    """A tool call that a model is writing. `length`: of its arguments so far, in characters; `tail`: their end.
    `tool`: as the endpoint was shown it, which may differ from the tool's own name in signs such as dots."""

    tool: str
    length: int
    tail: str


class Speech(Contract):
    """What a model has said so far: the heartbeat details of its call, bounded in size.

    `part` counts the models of the chain that began to answer in this attempt. `length`: of the whole text so far, in
    characters; `tail`: its end.
    """

    turn: int
    attempt: int
    part: int = 0
    model: str = ""
    length: int = 0
    tail: str = ""
    calls: tuple[WrittenCall, ...] = ()

    @classmethod
    def among(cls, details: Iterable[object]) -> "Speech | None":
        """The speech among the heartbeat details of a model call, which hold more than it."""
        spoken = (detail for detail in details if isinstance(detail, Mapping) and "tail" in detail)
        return next((cls.model_validate(detail) for detail in spoken), None)


class _Event(Contract):
    run: str
    at: datetime = Field(description="when it happened; of text and retries, when it was seen")


class StepChanged(_Event):
    """A step has this status now. The first events of a stream say how each step stood when it began."""

    event: Literal["step"] = "step"
    step: str
    kind: str
    title: str
    status: StepStatus
    error: ErrorInfo | None = None


class TurnStarted(_Event):
    """A model is asked. `longer`: once more, with a higher cap, since its answer was cut off."""

    event: Literal["turn"] = "turn"
    step: str
    turn: int
    longer: bool = False


class TextAdded(_Event):
    """The next piece of what a model says. `skipped`: characters before it that were said too fast to be seen; the
    event `said` has all of them."""

    event: Literal["text"] = "text"
    step: str
    turn: int
    attempt: int
    text: str
    skipped: int = 0


class CallWritten(_Event):
    """A model is writing a tool call: its arguments so far, their end if they are long. The last one counts."""

    event: Literal["writing"] = "writing"
    step: str
    turn: int
    attempt: int
    index: int
    tool: str
    arguments: str


class Retried(_Event):
    """A call of a model or tool is made again. `attempt`: the one to come, or under way; what a model said in this turn
    before is void. `tool` is null for the model."""

    event: Literal["retry"] = "retry"
    step: str
    turn: int
    call: str = Field(description="the call's activity id")
    tool: str | None = None
    attempt: int
    reason: str
    next_at: datetime | None = None


class Said(_Event):
    """A model's whole message of a turn; it replaces what was seen of it. `calls`: tools it asks for."""

    event: Literal["said"] = "said"
    step: str
    turn: int
    text: str
    calls: tuple[str, ...] = ()
    model: str
    finish: str
    tokens: int


class ToolStarted(_Event):
    event: Literal["tool_started"] = "tool_started"
    step: str
    turn: int
    call: str = Field(description="the call's activity id")
    tool: str
    arguments: Json = None


class ToolEnded(_Event):
    """A tool call is over. `error`: why it failed, which the model is told; null when it did not."""

    event: Literal["tool_ended"] = "tool_ended"
    step: str
    turn: int
    call: str
    tool: str
    error: str | None = None


class Answered(_Event):
    """An agent has given its answer."""

    event: Literal["answer"] = "answer"
    step: str
    output: Json
    turns: int


class RunEnded(_Event):
    """The run is over; nothing follows."""

    event: Literal["ended"] = "ended"
    status: RunStatus
    output: Json = None
    error: ErrorInfo | None = None


LiveEvent = Annotated[
    StepChanged
    | TurnStarted
    | TextAdded
    | CallWritten
    | Retried
    | Said
    | ToolStarted
    | ToolEnded
    | Answered
    | RunEnded,
    Field(discriminator="event"),
]
LIVE_EVENT: TypeAdapter[LiveEvent] = TypeAdapter(LiveEvent)
