"""Waiting in a workflow until something holds."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow


async def until(holds: Callable[[], object], *, within: timedelta | None = None, summary: str | None = None) -> None:
    """Until this holds. `summary`: of the timer, for Temporal Web.

    What the SDK has for it raises CancelledError in every task that it lets go on in the moment in which somebody
    cancels the run through Temporal, though only the run's own task is cancelled then. What writes the record, takes
    effects back or answers a message is to go on.

    Raises:
        TimeoutError: it did not hold in time.
        asyncio.CancelledError: the task that waits was cancelled.
    """
    held = False

    def is_so() -> bool:
        nonlocal held
        held = bool(holds())
        return held

    try:
        await workflow.wait_condition(is_so, timeout=within, timeout_summary=summary)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling() > 0:
            raise
        if not held:
            raise TimeoutError from None
