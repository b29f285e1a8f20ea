"""A wait: a durable timer, for a time or until a moment."""

from datetime import datetime, timedelta
from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.base import Json
    from contracts.errors import StepError
    from contracts.process import Until, WaitStep
    from language.expressions import as_text
    from workflows.calls import summary
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.steps.common import deadline_of


async def run_wait(engine: Engine, node: Node) -> Json:
    step = cast(WaitStep, node.step)
    engine.await_outside(node, until=node.record.until or due(engine, node, step.wait))
    while (remaining := _until(node) - workflow.now()) > timedelta(0):
        async with deadline_of(node):
            # The clock is not asked then: what the history holds is the timer.
            if await _has_come(node, remaining):
                break
    return {"until": _until(node).isoformat().replace("+00:00", "Z")}


def _until(node: Node) -> datetime:
    return cast(datetime, node.record.until)


async def _has_come(node: Node, remaining: timedelta) -> bool:
    """Waits for the moment that the step waits for; False when an operator changed that moment."""
    until = _until(node)
    try:
        await waiting.until(
            lambda: _until(node) != until,
            within=remaining,
            summary=summary(f"{node.id}: wait until {until:%Y-%m-%d %H:%M:%S} UTC"),
        )
    except TimeoutError:
        return True
    return False


def due(engine: Engine, node: Node, wait: timedelta | Until) -> datetime:
    """When a wait that begins now ends.

    Raises:
        StepError: it gives no moment.
    """
    if not isinstance(wait, Until):
        return workflow.now() + wait
    text = as_text(engine.evaluate(node, wait.until))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise StepError(f"wait.until: {text!r} is no RFC 3339 time such as 2026-12-01T09:00:00Z") from error
    if moment.tzinfo is None:
        raise StepError(f"wait.until: {text!r} has no time zone; write 2026-12-01T09:00:00Z or +01:00")
    return moment
