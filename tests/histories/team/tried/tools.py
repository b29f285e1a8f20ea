"""What the recorded histories call that does not go well at once."""

from datetime import timedelta

from contracts.tools import ToolContext, ToolError, tool
from tests.histories.gates import GATES

COUNTED: dict[str, int] = {}
"""Calls by run, or by key."""


def _times(what: str) -> int:
    COUNTED[what] = COUNTED.get(what, 0) + 1
    return COUNTED[what]


@tool(name="desk.was_paid", effect="read")
def was_paid(ctx: ToolContext) -> str | None:
    """The receipt, if it was paid."""
    return None


@tool(name="desk.pay", effect="write", check=was_paid)
def pay(ctx: ToolContext) -> str:
    """Pay. The line is lost the first time, before anything is paid."""
    if _times(ctx.idempotency_key) == 1:
        raise ConnectionError("line lost")
    return "paid"


@tool(name="desk.reach", effect="read")
def reach(ctx: ToolContext, busy: bool = False) -> str:
    """Reach somebody, the second time; a busy line says when."""
    if _times(ctx.idempotency_key) == 1:
        raise ToolError("nobody is there", after=timedelta(seconds=1) if busy else None)
    return "reached"


@tool(name="desk.count", effect="read")
def count(ctx: ToolContext) -> int:
    """How often this was asked of the run."""
    return _times(ctx.run)


@tool(name="desk.ring", effect="write")
def ring(ctx: ToolContext) -> str:
    """Ring somebody up, the second time; the line says when."""
    if _times(ctx.idempotency_key) == 1:
        raise ToolError("the line is busy", after=timedelta(seconds=1))
    return "rung"


@tool(name="desk.hold", effect="write", idempotent=True)
def hold(ctx: ToolContext) -> str:
    """Hold the line, for as long as the history is to have this under way."""
    GATES[f"{ctx.run}/{ctx.step}"].wait()
    return "held"
