"""Another agent at work for an agent: a child workflow, under limits that are a share of its parent's."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from contracts.agent import AgentFailure, AgentRequest, AgentResult
    from contracts.base import Json
    from contracts.messages import Message
    from contracts.model import Usage
    from contracts.names import AGENT_WORKFLOW
    from contracts.process import Limits
    from workflows.agent.agent import Agent
    from workflows.agent.limits import count
    from workflows.agent.shares import shared
    from workflows.agent.team import equipped, tools_for_others
    from workflows.calls import summary
    from workflows.children import failure_of, is_stopped, meaning, taken


async def work_of(
    agent: Agent,
    name: str,
    *,
    child: str,
    tool: str,
    task: str,
    context: Json = None,
    earlier: Sequence[Message] = (),
) -> Json:
    """The answer of another agent to a task, from a child workflow of this id. `tool`: the call that it came by.

    Raises:
        StepError: it gave none; why.
    """
    spec = agent.request.team.agents[name]
    async with shared(agent, child, spec.limits) as share:
        depth = min(spec.limits.depth, agent.request.limits.depth - 1)
        limits = Limits.model_validate({**share.model_dump(), "depth": depth, "at_limit": "stop"})
        request = agent.request.model_copy(
            update={
                "task": task,
                "context": context,
                "output": spec.output,
                "limits": limits,
                "lease": None,
                "tainted": agent.tainted,
                "earlier": tuple(earlier),
                "handovers": 0,
                "snapshot": None,
            }
        )
        known = {**agent.request.team.agents, name: spec}
        request = equipped(request, name, agents=known, tools=tools_for_others(agent.request))
        agent.others.begin(child, tool)
        try:
            result = await _run(request, child, tool)
        except ChildWorkflowError as error:
            failed = failure_of(error)
            _take_down(agent, child, tool, failed, error=str(error.cause or error))
            raise meaning(error, name, failed.detail, is_stopped=is_stopped()) from error
        except WorkflowAlreadyStartedError as error:
            agent.others.end(child, Usage(), error="its workflow id is in use")
            raise taken(child) from error
        _take_down(agent, child, tool, result)
    return result.output


async def _run(request: AgentRequest, child: str, tool: str) -> AgentResult:
    asker = workflow.info().workflow_id
    result: AgentResult = await workflow.execute_child_workflow(
        AGENT_WORKFLOW,
        request,
        id=child,
        result_type=AgentResult,
        static_summary=summary(f"{tool}: {request.task}"),
        static_details=f"**{request.agent}** for `{asker}`, by `{tool}`\n\n{request.task}",
        priority=Priority(priority_key=request.priority),
        # Whatever ends its parent: a write on its way comes to its end first.
        parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
    )
    return result


def _take_down(
    agent: Agent, child: str, tool: str, ended: AgentResult | AgentFailure, *, error: str | None = None
) -> None:
    """Keep what it used and left: it is the asking agent's now."""
    name = tool.partition(".")[2]
    count(agent, ended.usage)
    agent.others.end(child, ended.usage, error=error)
    agent.others.did(ended.undo, ended.stands)
    agent.waited += ended.waited
    if ended.tainted:
        agent.taint(tool)
    for note in ended.notes:
        agent.note(note.kind, f"{name}: {note.text}")
