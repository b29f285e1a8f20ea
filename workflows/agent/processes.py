"""A process at work for an agent: a run of its own, whose effects are taken back with the agent's run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio import workflow
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import AWAIT_PROCESS, AwaitRun
    from contracts.base import Json, format_duration
    from contracts.decisions import PARENT, Cancel
    from contracts.errors import LimitReached, StepError
    from contracts.model import Usage
    from contracts.names import PROCESS_WORKFLOW
    from contracts.process import Budget
    from contracts.run import RunRequest, RunResult
    from contracts.tools import ToolCall
    from workflows.agent.agent import Agent
    from workflows.agent.limits import count
    from workflows.agent.shares import shared
    from workflows.calls import Call, call_engine, summary
    from workflows.children import ADOPTED_RUN_TIMEOUT, is_stopped, meaning, stop, usage_of, was_tainted


async def outcome_of(agent: Agent, process: str, call: ToolCall) -> Json:
    """The output of a process. An agent that is tried again and makes the same call finds the run that completed.

    Raises:
        StepError: the run failed; why.
    """
    async with shared(agent, call.key, Budget()) as share, _in_time(agent):
        request = RunRequest(
            process=process,
            input=call.args,
            tainted=call.tainted,
            started_by=agent.request.started_by,
            priority=agent.request.priority,
            granted=Budget(turns=share.turns, tokens=share.tokens, cost=share.cost),
        )
        child, number = call.key, 1
        while (result := await _run_or_find(agent, request, child)) is None:
            number += 1  # The one before failed, and took back what it had done: this is another run.
            child = f"{call.key}~{number}"
    return result.output


async def _run_or_find(agent: Agent, request: RunRequest, child: str) -> RunResult | None:
    """A run's result; None when there was a run of this id, and it failed.

    Raises:
        StepError: the run failed now; why.
    """
    agent.others.begin(child, f"process.{request.process}")
    try:
        result = await _run(agent, request, child)
    except ChildWorkflowError as error:
        used = usage_of(error)
        count(agent, used)
        agent.others.end(child, used, error=str(error.cause or error))
        if was_tainted(error):
            agent.taint(f"process.{request.process}")
        raise meaning(error, request.process, is_stopped=is_stopped()) from error
    except WorkflowAlreadyStartedError:
        call = Call(f"{child}:found", f"wait for {child}", timeout=ADOPTED_RUN_TIMEOUT)
        try:
            result = await call_engine(AWAIT_PROCESS, AwaitRun(workflow_id=child), call)
        except StepError as error:
            agent.others.end(child, Usage(), error=str(error))
            return None
        # What it used was counted when it ran.
        result = result.model_copy(update={"usage": Usage()})
    _take_down(agent, child, result)
    return result


async def _run(agent: Agent, request: RunRequest, child: str) -> RunResult:
    handle = await workflow.start_child_workflow(
        PROCESS_WORKFLOW,
        request,
        id=child,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        result_type=RunResult,
        static_summary=summary(f"process {request.process} for {agent.request.agent}"),
        priority=Priority(priority_key=request.priority),
        # Whatever ends the agent: a run takes back what it did, in its own time.
        parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
    )
    try:
        result: RunResult = await asyncio.shield(handle)
    except asyncio.CancelledError:
        reason = f"{agent.request.agent} of {agent.request.run} does not go on with it"
        await stop(handle, Cancel(by=PARENT, reason=reason))
        try:
            _take_down(agent, child, await handle)  # It had come to its end: the run is to know how to undo it.
        except ChildWorkflowError as error:
            count(agent, usage_of(error))
        raise
    return result


def _take_down(agent: Agent, child: str, result: RunResult) -> None:
    tool = child.removeprefix(f"{workflow.info().workflow_id}/").partition("/")[0]
    count(agent, result.usage)
    if result.tainted:
        agent.taint(tool)
    agent.others.end(child, result.usage)
    agent.others.did(result.undo, tuple(f"{tool}/{said}" for said in result.stands))


@contextlib.asynccontextmanager
async def _in_time(agent: Agent) -> AsyncIterator[None]:
    """Bounds what an agent waits for by its time; a LimitReached when that is over."""
    left = agent.time_left()
    if left is None:
        yield
        return
    try:
        async with asyncio.timeout(left.total_seconds()):
            yield
    except TimeoutError as error:
        time = format_duration(agent.request.limits.time or left)
        raise LimitReached(f"not done within the time of {agent.request.agent}, {time}") from error
