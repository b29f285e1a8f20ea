"""Rooms that are easily booked, and cancelled by another number than the one that was given."""

from contracts.tools import ToolContext, ToolError, tool

ASKED: dict[str, int] = {}
"""Cancellations by step."""


@tool(name="room.book", effect="write", idempotent=True)
def book(ctx: ToolContext) -> str:
    """Book a room; the number of the booking."""
    return "R-1"


@tool(name="room.cancel", effect="write", idempotent=True)
def cancel(ctx: ToolContext, number: str) -> None:
    """Cancel it."""
    ASKED[ctx.step] = ASKED.get(ctx.step, 0) + 1
    if number == "R-1":
        raise ToolError(f"{ctx.step}: no booking has this number, asked {ASKED[ctx.step]} times", retry=False)
