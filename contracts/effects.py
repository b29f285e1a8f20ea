"""Effects on the world, and how each is taken back."""

from pydantic import Field

from contracts.base import Contract, Json
from contracts.tools import ToolSpec


class UndoCall(Contract):
    """An effect that can be taken back: the tool call that does it, fixed when the step completed."""

    tool: str
    args: dict[str, Json]
    key: str
    spec: ToolSpec | None = Field(default=None, description="the tool, when another run is to call it")


class Unaccepted(Contract):
    """What a step did although its output was not accepted. `key`: the idempotency key of that effect; `after`: how
    many steps had completed by then."""

    key: str
    output: Json
    after: int
