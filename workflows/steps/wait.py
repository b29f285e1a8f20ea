"""A wait: a durable timer, for a time or until a moment."""

from datetime import datetime, timedelta
from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import StepError
    from contracts.process import Until, WaitStep
    from language.expressions import as_text
    from workflows.calls import summary
    from workflows.engine import Engine
    from workflows.plan import Node
    from workflows.steps.common import deadline_of


async def run_wait(engine: Engine, node: Node) -> Json:
    step = cast(WaitStep, node.step)
    until = node.record.until or _due(engine, node, step)
    engine.await_outside(node, until=until)
    remaining = until - workflow.now()
    if remaining > timedelta(0):
        async with deadline_of(node):
            await workflow.sleep(remaining, summary=summary(f"{node.id}: wait until {until:%Y-%m-%d %H:%M:%S} UTC"))
    return {"until": until.isoformat().replace("+00:00", "Z")}


def _due(engine: Engine, node: Node, step: WaitStep) -> datetime:
    if not isinstance(step.wait, Until):
        return workflow.now() + step.wait
    text = as_text(engine.evaluate(node, step.wait.until))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise StepError(f"wait.until: {text!r} is no RFC 3339 time such as 2026-12-01T09:00:00Z") from error
    if moment.tzinfo is None:
        raise StepError(f"wait.until: {text!r} has no time zone; write 2026-12-01T09:00:00Z or +01:00")
    return moment
