"""What a step of each kind does. Each takes the engine and its node, and gives the step's output."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ApplicationError, CancelledError, ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import AWAIT_PROCESS, RESOLVE_PEOPLE, AwaitRun, ResolvePeople
    from contracts.agent import AgentRequest, AgentResult
    from contracts.base import Json, format_duration
    from contracts.decisions import Cancel, subject_hash
    from contracts.errors import ArgumentsInvalid, ChildFailed, ErrorInfo, Rejected, StepError
    from contracts.model import Usage
    from contracts.names import AGENT_WORKFLOW, CANCEL, PROCESS_WORKFLOW
    from contracts.process import (
        AgentStep,
        Approval,
        ApprovalStep,
        GroupStep,
        Limits,
        ProcessStep,
        ToolStep,
        Until,
        WaitStep,
    )
    from contracts.run import ApprovalState, RunRequest, RunResult
    from contracts.tools import ToolCall, granted
    from language.expressions import as_text
    from workflows import approvals
    from workflows.calls import Call, call_engine, call_tool, step_error, summary
    from workflows.engine import Action, Ending, Engine
    from workflows.plan import Node

ADOPTED_RUN_TIMEOUT = timedelta(days=365)


def arguments(engine: Engine, node: Node) -> dict[str, Json]:
    """The step's `with`, filled in; what an operator put in its place after an amend."""
    if not node.record.amended:
        node.update(input=engine.evaluate(node, node.step.with_))
    if not isinstance(node.record.input, dict):
        raise ArgumentsInvalid(f"arguments must be an object, not {as_text(node.record.input)[:200]}")
    return node.record.input


def idempotency_key(engine: Engine, node: Node) -> str:
    """Workflow id and step; other arguments are another effect, so an amended call has a key of its own."""
    return f"{engine.run}/{node.id}" + (f"~{node.record.amended}" if node.record.amended else "")


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


async def run_tool(engine: Engine, node: Node) -> Json:
    step = cast(ToolStep, node.step)
    spec = engine.definition.tools[step.tool]
    args = arguments(engine, node)
    call = ToolCall(args=args, key=idempotency_key(engine, node), run=engine.run, step=node.id)
    async with engine.working(node):
        # A write on its way is waited for, never abandoned: it may have happened, and then must be undone.
        node.interruptible = spec.effect == "read"
        try:
            result = await call_tool(spec, call, call_of(engine, node, _call_text(step.tool, args)))
        except StepError as error:
            tried = error.detail.get("attempts", 1) if isinstance(error.detail, dict) else 0
            node.update(attempts=node.record.attempts + tried)
            raise
    node.update(attempts=node.record.attempts + result.attempts)
    return result.output


async def run_agent(engine: Engine, node: Node) -> Json:
    step = cast(AgentStep, node.step)
    spec = engine.definition.process.agents[step.agent]
    task = as_text(engine.evaluate(node, step.task))
    tools = engine.definition.tools
    request = AgentRequest(
        run=engine.run,
        step=node.id,
        process=engine.request.process,
        agent=step.agent,
        instructions=spec.instructions,
        models=(spec.model,) if isinstance(spec.model, str) else spec.model,
        task=task,
        context=arguments(engine, node) or None,
        output=step.output,
        tools={name: tools[name] for name in granted(spec.tools, tools)},
        limits=_bounded(spec.limits, step.timeout, step.deadline),
        priority=step.priority or engine.request.priority,
    )
    child = f"{engine.run}/{node.id}"
    async with engine.working(node):
        node.update(child=child, attempts=node.record.attempts + 1)
        try:
            result = await workflow.execute_child_workflow(
                AGENT_WORKFLOW,
                request,
                id=child,
                result_type=AgentResult,
                static_summary=summary(f"{node.id}: {step.agent}"),
                static_details=f"**{step.agent}** for step `{node.id}` of `{engine.run}`\n\n{task}",
                priority=Priority(priority_key=request.priority),
            )
        except ChildWorkflowError as error:
            _add_usage(node, _usage_of(error))
            raise _child_error(engine, error, step.agent) from error
        except WorkflowAlreadyStartedError as error:
            raise _taken(child) from error
    _add_usage(node, result.usage)
    return result.output


async def run_process(engine: Engine, node: Node) -> Json:
    step = cast(ProcessStep, node.step)
    adopted = node.record.child if node.record.status == "running" else None
    async with _deadline(node), engine.working(node, drains=False):
        if adopted is not None:
            result = await _adopt(engine, node, adopted)
        else:
            request = RunRequest(
                process=step.process,
                input=arguments(engine, node),
                started_by=engine.request.started_by,
                priority=step.priority or engine.request.priority,
            )
            result = await _run_child(engine, node, step.process, request)
    _add_usage(node, result.usage)
    node.update(undo=result.undo)
    return result.output


async def _run_child(engine: Engine, node: Node, process: str, request: RunRequest) -> RunResult:
    # A run once more is another run with keys of its own: the effects of the one before were taken back.
    again = node.record.tries + node.record.amended
    child = f"{engine.run}/{node.id}" + (f"~{again}" if again else "")
    node.update(child=child, attempts=node.record.attempts + 1)
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
            await handle.signal(CANCEL, _cancel_of(engine))
            with contextlib.suppress(ChildWorkflowError):
                await handle
            raise
    except ChildWorkflowError as error:
        _add_usage(node, _usage_of(error))
        raise _child_error(engine, error, process) from error
    except WorkflowAlreadyStartedError as error:
        raise _taken(child) from error
    return result


async def _adopt(engine: Engine, node: Node, child: str) -> RunResult:
    """Wait for a sub-process that was started before this run continued as new."""
    awaited = AwaitRun(workflow_id=child)
    try:
        call = Call(node.id, f"{node.id}: wait for {child}", timeout=ADOPTED_RUN_TIMEOUT)
        return await call_engine(AWAIT_PROCESS, awaited, call)
    except asyncio.CancelledError:
        await workflow.get_external_workflow_handle(child).signal(CANCEL, _cancel_of(engine))
        ended = Call(f"{node.id}:cancelled", f"{node.id}: wait until {child} has ended", timeout=ADOPTED_RUN_TIMEOUT)
        with contextlib.suppress(StepError):
            await call_engine(AWAIT_PROCESS, awaited, ended)
        raise


def _cancel_of(engine: Engine) -> Cancel:
    """What a sub-process is told when its parent ends, or no longer waits for it."""
    undo = engine.ending.undo if engine.ending else True
    return Cancel(by="system:parent", reason=f"{engine.run} does not go on with it", undo=undo)


async def run_group(engine: Engine, node: Node) -> Json:
    step = cast(GroupStep, node.step)
    scope = node.inner or engine.plan.open_group(node, step.steps)
    node.update(status="running", started=node.record.started or workflow.now())
    engine.begin(scope)
    engine.touch()
    try:
        async with _deadline(node):
            await scope.settled.wait()
    except StepError:
        engine.interrupt(scope)
        running = [inner.task for inner in scope.nodes.values() if inner.task]
        await workflow.wait_condition(lambda: all(task.done() for task in running))
        raise
    return {name: inner.record.output for name, inner in scope.nodes.items()}


async def run_wait(engine: Engine, node: Node) -> Json:
    step = cast(WaitStep, node.step)
    until = node.record.until or _due(engine, node, step)
    engine.await_outside(node, until=until)
    remaining = until - workflow.now()
    if remaining > timedelta(0):
        async with _deadline(node):
            await workflow.sleep(remaining, summary=summary(f"{node.id}: wait until {until:%Y-%m-%d %H:%M:%S} UTC"))
    return {"until": until.isoformat().replace("+00:00", "Z")}


async def run_approval(engine: Engine, node: Node) -> Json:
    step = cast(ApprovalStep, node.step)
    if node.record.approval is None or node.record.status != "waiting":
        node.decided = None
        node.update(approval=await _open_approval(engine, node, step.approval), until=None)
    expires = step.approval.expires
    engine.await_outside(node, until=node.record.until or (workflow.now() + expires if expires else None))
    async with _deadline(node):
        while (outcome := _outcome(node, step.approval)) is None:
            await _until_something_happens(engine, node, step.approval)
    engine.waiting.pop(node.id, None)
    state = node.approval
    last = state.votes[-1] if state.votes else None
    node.update(by=last.by if last else None)
    if outcome == "rejected" and step.approval.on_reject == "stop":
        said = f"rejected by {last.by}: {last.comment}" if last else "nobody decided in time, which is a rejection"
        error = ErrorInfo(type=Rejected.type_name(), message=f"{state.title} — {said}")
        # First: what needs this step would start the moment it settles.
        engine.end(Ending("failed", error.model_copy(update={"message": f"{node.id}: {error.message}"})))
        engine.settle(node, "failed", error=error)
        return None
    return {
        "decision": "approve" if outcome == "approved" else "reject",
        "by": last.by if last else None,
        "comment": last.comment if last else "expired",
        "at": workflow.now().isoformat().replace("+00:00", "Z"),
        "edits": state.edits,
    }


async def _open_approval(engine: Engine, node: Node, approval: Approval) -> ApprovalState:
    row = next((row for row in approval.from_ if row.when is None or engine.holds(node, row.when)), None)
    if row is None:
        raise StepError("no row of the approval's `from` applies, so nobody can decide; add a last row without `when`")
    stages = row.resolved_stages()
    names = approvals.names_to_resolve(approval, stages)
    async with engine.working(node):
        call = Call(f"{node.id}:people", f"{node.id}: who decides", priority=engine.request.priority)
        people = (await call_engine(RESOLVE_PEOPLE, ResolvePeople(names=names), call)).users
    starter = (engine.request.started_by,) if engine.request.started_by else ()
    users: Mapping[str, tuple[str, ...]] = {**people, "starter": starter}
    title = as_text(engine.evaluate(node, approval.title))
    show = cast(dict[str, Any], engine.evaluate(node, approval.show))
    now = workflow.now()
    return ApprovalState(
        title=title,
        show=show,
        hash=subject_hash({"run": engine.run, "step": node.id, "title": title, "show": show}),
        stages=approvals.open_stages(stages, users),
        not_by=tuple(user for name in approval.not_by for user in users[name]),
        since=now,
        remind_at=now + approval.remind if approval.remind else None,
        escalate_at=now + approval.escalate.after if approval.escalate else None,
        escalate_to={name: users[name] for name in approval.escalate.to} if approval.escalate else {},
    )


def _outcome(node: Node, approval: Approval) -> approvals.Outcome | None:
    if node.decided is not None:
        return node.decided
    if node.record.until is not None and workflow.now() >= node.record.until:
        return "rejected" if approval.on_expiry == "reject" else "approved"
    return None


async def _until_something_happens(engine: Engine, node: Node, approval: Approval) -> None:
    """Until a decision settles it, or the next reminder, escalation or expiry is due."""
    state = node.approval
    escalate_at = None if state.escalated else state.escalate_at
    due = min((at for at in (state.remind_at, escalate_at, node.record.until) if at is not None), default=None)
    try:
        await workflow.wait_condition(
            lambda: node.decided is not None,
            timeout=None if due is None else max(due - workflow.now(), timedelta(0)),
            timeout_summary=None if due is None else summary(f"{node.id}: remind, escalate or expire"),
        )
    except TimeoutError:
        now, state = workflow.now(), node.approval
        if escalate_at is not None and now >= escalate_at:
            state = state.model_copy(update={"escalated": True})
        if approval.remind and state.remind_at is not None and now >= state.remind_at:
            state = state.model_copy(update={"reminded": state.reminded + 1, "remind_at": now + approval.remind})
        node.update(approval=state)
        engine.touch()


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


@contextlib.asynccontextmanager
async def _deadline(node: Node) -> AsyncIterator[None]:
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


def _bounded(limits: Limits, *bounds: timedelta | None) -> Limits:
    times = [time for time in (limits.time, *bounds) if time is not None]
    return limits.model_copy(update={"time": min(times)}) if times else limits


def _add_usage(node: Node, usage: Usage) -> None:
    node.update(usage=(node.record.usage or Usage()) + usage)


def _usage_of(error: ChildWorkflowError) -> Usage:
    if isinstance(error.cause, ApplicationError):
        for detail in error.cause.details:
            if isinstance(detail, dict) and "usage" in detail:
                return Usage.model_validate(detail["usage"])
    return Usage()


def _child_error(engine: Engine, error: ChildWorkflowError, name: str) -> StepError:
    """What a child's failure means for its step.

    Raises:
        asyncio.CancelledError: it was cancelled with the run.
    """
    cause = error.cause
    if isinstance(cause, CancelledError):
        if engine.ending is not None:
            raise asyncio.CancelledError from error
        return ChildFailed(f"{name}: somebody cancelled it through Temporal")
    if isinstance(cause, ApplicationError):
        return step_error(cause.type, f"{name}: {cause.message}", default=ChildFailed)
    return ChildFailed(f"{name}: {cause or error}")


def _taken(child: str) -> StepError:
    return ChildFailed(f"workflow id {child} is in use by a run that this one did not start; end that one, then retry")


def _call_text(tool: str, args: Mapping[str, Json]) -> str:
    return f"{tool} " + ", ".join(f"{key}={as_text(value)[:60]}" for key, value in args.items())


ACTIONS: Mapping[str, Action] = {
    "tool": run_tool,
    "agent": run_agent,
    "approval": run_approval,
    "steps": run_group,
    "process": run_process,
    "wait": run_wait,
}
