"""A process step: another process, as a run of its own."""

import asyncio
from collections.abc import Iterable
from typing import cast

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import AWAIT_PROCESS, AwaitRun
    from contracts.base import Json
    from contracts.decisions import PARENT, Cancel
    from contracts.effects import UndoCall
    from contracts.errors import StepError
    from contracts.names import PROCESS_WORKFLOW
    from contracts.process import ProcessStep
    from contracts.run import Rerun, RunRequest, RunResult
    from workflows.calls import Call, call_engine, summary
    from workflows.children import ADOPTED_RUN_TIMEOUT, has_begun, left_by, stop, taken, usage_of, was_tainted
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.steps.common import add_usage, arguments, child_error, deadline_of
    from workflows.taint import is_tainted


async def run_process(engine: Engine, node: Node) -> Json:
    step = cast(ProcessStep, node.step)
    adopted = node.record.child if node.record.status == "running" else None
    async with deadline_of(node), engine.working(node, drains=False):
        if adopted is not None:
            result = await _adopt(engine, node, adopted)
        else:
            request = RunRequest(
                process=step.process,
                input=arguments(engine, node),
                tainted=not node.record.amended and is_tainted(engine, node, step.with_),
                started_by=engine.request.started_by,
                priority=step.priority or engine.request.priority,
                rerun=_rerun(engine, node),
            )
            result = await _run_child(engine, node, step.process, request)
    add_usage(engine, node, result.usage)
    node.update(undo=(*result.undo, *_earlier(node)), stands=_inside(node, result.stands), tainted=result.tainted)
    return result.output


def _earlier(node: Node) -> tuple[UndoCall, ...]:
    """What an earlier sub-process did that completed, and whose output was not accepted."""
    return node.record.undo if node.record.undo and workflow.patched("unaccepted-is-undone") else ()


async def _run_child(engine: Engine, node: Node, process: str, request: RunRequest) -> RunResult:
    # A run once more is another run with keys of its own: the effects of the one before were taken back.
    again = node.record.tries + node.record.amended
    child = f"{engine.run}/{node.id}" + (f"~{again}" if again else "")
    node.update(child=child, attempts=node.record.attempts + 1, resumes=None, stands=())
    try:
        handle = await workflow.start_child_workflow(
            PROCESS_WORKFLOW,
            request,
            id=child,
            result_type=RunResult,
            static_summary=summary(f"{node.id}: process {process}"),
            priority=Priority(priority_key=request.priority),
            # Any other policy ends the child when this run continues as new.
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
        try:
            result: RunResult = await asyncio.shield(handle)
        except asyncio.CancelledError:
            await stop(handle, _cancel_of(engine))
            try:
                result = await handle  # It had come to its end: the run is to know how to undo it.
            except ChildWorkflowError as error:
                _take_down(engine, node, error)
                raise asyncio.CancelledError from error
    except ChildWorkflowError as error:
        _take_down(engine, node, error)
        if request.rerun is not None and not has_begun(error):
            node.update(child=request.rerun.of)  # Which is still the one that has done something.
        raise child_error(engine, node, error, process) from error
    except WorkflowAlreadyStartedError as error:
        raise taken(child) from error
    return result


def _take_down(engine: Engine, node: Node, error: BaseException | None) -> None:
    """Keep in the step's record what a sub-process that failed, or was stopped, had used and left."""
    add_usage(engine, node, usage_of(error))
    node.update(tainted=was_tainted(error), stands=_inside(node, left_by(error)))


def _rerun(engine: Engine, node: Node) -> Rerun | None:
    """How a sub-process goes on with one that ended: it may do once more what this run may."""
    if node.record.resumes is None:
        return None
    return Rerun(of=node.record.resumes, by=PARENT, redo=engine.request.rerun is not None and engine.request.rerun.redo)


def _inside(node: Node, stands: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{node.id}/{said}" for said in stands)


async def _adopt(engine: Engine, node: Node, child: str) -> RunResult:
    """Wait for a sub-process that was started before this run continued as new."""
    awaited = AwaitRun(workflow_id=child)
    try:
        call = Call(node.id, f"{node.id}: wait for {child}", timeout=ADOPTED_RUN_TIMEOUT)
        return await call_engine(AWAIT_PROCESS, awaited, call)
    except StepError as error:
        _take_down(engine, node, error.__cause__)
        raise
    except asyncio.CancelledError:
        await stop(workflow.get_external_workflow_handle(child), _cancel_of(engine))
        ended = Call(f"{node.id}:cancelled", f"{node.id}: wait until {child} has ended", timeout=ADOPTED_RUN_TIMEOUT)
        try:
            return await call_engine(AWAIT_PROCESS, awaited, ended)
        except StepError as error:
            _take_down(engine, node, error.__cause__)
            raise asyncio.CancelledError from error


def _cancel_of(engine: Engine) -> Cancel:
    """What a sub-process is told when its parent ends, or no longer waits for it."""
    undo = engine.ending.undo if engine.ending else True
    return Cancel(by=PARENT, reason=f"{engine.run} does not go on with it", undo=undo)
