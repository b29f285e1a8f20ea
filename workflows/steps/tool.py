"""A tool step: one call of a tool, perhaps after somebody approved it."""

from collections.abc import Mapping
from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import StepError
    from contracts.process import ToolStep
    from contracts.state import is_state_tainted
    from contracts.tools import ToolCall
    from language.expressions import as_text
    from workflows.calls import call_tool
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.steps.approval import approved
    from workflows.steps.common import arguments, call_of, idempotency_key
    from workflows.taint import check_call


async def run_tool(engine: Engine, node: Node) -> Json:
    step = cast(ToolStep, node.step)
    spec = engine.definition.tools[step.tool]
    args = arguments(engine, node)
    tainted = check_call(engine, node, spec)
    if step.approve is not None:
        agreed = await approved(engine, node, step.approve, title=_call_text(step.tool, args), arguments=args)
        if agreed is None:
            return None
        args = agreed
    # What people agreed to is theirs, and what comes of it.
    passed_on = tainted and step.approve is None
    call = ToolCall(args=args, key=idempotency_key(engine, node), run=engine.run, step=node.id, tainted=passed_on)
    async with engine.working(node):
        # A write on its way is waited for, never abandoned: it may have happened, and then must be undone.
        node.interruptible = spec.effect == "read"
        try:
            result = await call_tool(spec, call, call_of(engine, node, _call_text(step.tool, args)))
        except StepError as error:
            tried = error.detail.get("attempts", 1) if isinstance(error.detail, dict) else 0
            # What it failed with may be from outside too.
            node.update(attempts=node.record.attempts + tried, tainted=spec.untrusted or passed_on)
            raise
    is_tainted = spec.untrusted or passed_on or is_state_tainted(spec, result.output)
    node.update(attempts=node.record.attempts + result.attempts, tainted=is_tainted)
    return result.output


def _call_text(tool: str, args: Mapping[str, Json]) -> str:
    return f"{tool} " + ", ".join(f"{key}={as_text(value)[:60]}" for key, value in args.items())
