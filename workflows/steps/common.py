"""What actions share: arguments, keys, calls, deadlines, what children used and how they failed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from contracts.agent import MAX_NOTES, Note
    from contracts.base import Json, format_duration
    from contracts.errors import ArgumentsInvalid, StepError
    from contracts.model import Usage
    from language.expressions import as_text
    from workflows.calls import Call
    from workflows.children import meaning
    from workflows.engine import Engine
    from workflows.nodes import Node


def arguments(engine: Engine, node: Node) -> dict[str, Json]:
    """The step's `with`, filled in; what an operator put in its place after an amend."""
    if not node.record.amended:
        node.update(input=engine.evaluate(node, node.step.with_))
    if not isinstance(node.record.input, dict):
        raise ArgumentsInvalid(f"arguments must be an object, not {as_text(node.record.input)[:200]}")
    return node.record.input


def idempotency_key(engine: Engine, node: Node) -> str:
    return node.record.key(engine.origin)


def call_of(engine: Engine, node: Node, what: str) -> Call:
    step = node.step
    return Call(
        id=node.id,
        summary=f"{node.id}: {f'{step.description} — {what}' if step.description else what}",
        retry=step.retry,
        timeout=step.timeout,
        deadline=step.deadline,
        priority=step.priority or engine.request.priority,
    )


@contextlib.asynccontextmanager
async def deadline_of(node: Node) -> AsyncIterator[None]:
    """Bounds what a step waits for by its `deadline`; a StepError when it passes."""
    deadline = node.step.deadline
    if deadline is None:
        yield
        return
    started = node.record.started or workflow.now()
    try:
        async with asyncio.timeout(max(0.0, (started + deadline - workflow.now()).total_seconds())):
            yield
    except TimeoutError as error:
        raise StepError(f"not done within its deadline of {format_duration(deadline)}") from error


def add_usage(engine: Engine, node: Node, usage: Usage) -> None:
    node.update(usage=(node.record.usage or Usage()) + usage)
    engine.usage += usage


def add_notes(node: Node, notes: Iterable[Note]) -> None:
    """What an agent left to know; of all that worked for a step, the last notes are kept."""
    node.update(notes=(*node.record.notes, *notes)[-MAX_NOTES:])


def child_error(engine: Engine, node: Node, error: ChildWorkflowError, name: str, detail: Json = None) -> StepError:
    """What a child's failure means for its step. `detail`: of the error, for whoever repairs the step.

    Raises:
        asyncio.CancelledError: the run itself cancelled it.
    """
    is_stopped = engine.ending is not None or node.dropped or (node.task is not None and node.task.cancelling() > 0)
    return meaning(error, name, detail, is_stopped=is_stopped)
