"""An agent step: one agent works on a task, as a child workflow."""

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from contracts.agent import AGENT_VERSION, MAX_CHILDREN, AgentFailure, AgentRequest, AgentResult
    from contracts.base import Json
    from contracts.decisions import AgentChange
    from contracts.names import AGENT_WORKFLOW
    from contracts.process import AgentStep
    from language.expressions import as_text
    from workflows.agent.team import equipped
    from workflows.amending import agent_of, task_of
    from workflows.calls import summary
    from workflows.children import failure_of, taken
    from workflows.engine import Engine
    from workflows.lasting import MAX_TOLD
    from workflows.nodes import Node
    from workflows.steps.approval import approved
    from workflows.steps.asks import withdraw_all
    from workflows.steps.budget import leased, settle
    from workflows.steps.common import add_notes, add_usage, arguments, child_error
    from workflows.taint import note_taint, sees_tainted


async def run_agent(engine: Engine, node: Node) -> Json:
    step = cast(AgentStep, node.step)
    task = task_of(engine, node)
    args = arguments(engine, node)
    if step.approve is not None:
        title = f"{step.agent}: {task}{_changed_in_words(node.record.agent or AgentChange())}"
        agreed = await approved(engine, node, step.approve, title=title, arguments=args)
        if agreed is None:
            return None
        args = agreed
    return await ask_agent(
        engine,
        node,
        step.agent,
        child=node.record.effect(engine.origin),
        task=task,
        context={**args, **_of_goal(engine, node)} or None,
        output=step.output,
        bounds=(step.timeout, step.deadline),
    )


async def ask_agent(
    engine: Engine,
    node: Node,
    name: str,
    *,
    child: str,
    task: str,
    context: Json,
    output: dict[str, Json] | None,
    bounds: tuple[timedelta | None, ...] = (),
) -> Json:
    """The answer of an agent that works for a node, as a child workflow of this id.

    Raises:
        StepError: it gave none; why.
    """
    tools = engine.definition.tools
    spec = agent_of(engine, name, node.record.agent)
    priority = node.step.priority or engine.request.priority
    times = [time for time in (spec.limits.time, *bounds) if time is not None]
    # One that waits for its place among the calls in flight holds nothing that others wait for.
    async with engine.working(node), leased(engine, node) as lease:
        request = AgentRequest(
            run=engine.run,
            step=node.id,
            process=engine.request.process,
            agent=name,
            instructions=spec.instructions,
            models=(),
            task=task,
            context=context,
            output=output if output is not None else spec.output,
            limits=spec.limits.model_copy(update={"time": min(times, default=None)}),
            lease=lease,
            tainted=sees_tainted(engine, node),
            priority=priority,
            started_by=engine.request.started_by,
            version=AGENT_VERSION,
        )
        request = equipped(request, name, agents={**engine.definition.process.agents, name: spec}, tools=tools)
        node.update(child=child, attempts=node.record.attempts + 1)
        try:
            result = await workflow.execute_child_workflow(
                AGENT_WORKFLOW,
                request,
                id=child,
                result_type=AgentResult,
                static_summary=summary(f"{node.id}: {name}"),
                static_details=f"**{name}** for step `{node.id}` of `{engine.run}`\n\n{task}",
                priority=Priority(priority_key=priority),
            )
        except ChildWorkflowError as error:
            failed = failure_of(error)
            _take_down(engine, node, failed)
            raise child_error(engine, node, error, name, failed.detail) from error
        except WorkflowAlreadyStartedError as error:
            raise taken(child) from error
        finally:
            withdraw_all(engine, node)
        _take_down(engine, node, result)
    return result.output


def _take_down(engine: Engine, node: Node, ended: AgentResult | AgentFailure) -> None:
    """Keep in the step's record what its agent used and left."""
    add_usage(engine, node, ended.usage)
    add_notes(node, ended.notes)
    settle(engine, node)
    note_taint(node, is_tainted=ended.tainted)
    # Tried again, an agent finds what its processes did, and tells of it again.
    known = {call.key for call in ended.undo}
    earlier = tuple(call for call in node.record.undo if call.key not in known)
    stands = (*node.record.stands, *(f"{node.id}/{said}" for said in ended.stands))
    children = (*node.record.children, *ended.children)[-MAX_CHILDREN:]
    node.update(undo=(*ended.undo, *earlier), stands=tuple(dict.fromkeys(stands))[:MAX_TOLD], children=children)


def _changed_in_words(change: AgentChange) -> str:
    """What an operator changed and the task does not show; people who approve the step see it, and decide on it."""
    changed = change.model_dump(include={"instructions", "model"}, exclude_none=True)
    return f" (changed: {as_text(changed)})" if changed else ""


def _of_goal(engine: Engine, node: Node) -> Mapping[str, Json]:
    """What a step of a plan sees besides its arguments: the objective, what it needs, the shared state."""
    goal = node.goal()
    if goal is None or goal.record.plan is None:
        return {}
    needed = {need.id.removeprefix(f"{goal.id}."): need.record.output for need in node.needs}
    seen: dict[str, Json] = {"objective": goal.record.plan.objective}
    if needed:
        seen["completed"] = needed
    if state := engine.state.values():
        seen["state"] = state
    return seen
