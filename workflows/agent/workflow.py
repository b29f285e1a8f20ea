"""Workflow `Agent`: one agent's turns, from its task to an answer that fits, inside its grants and limits."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.agent.answers as answers
    import workflows.agent.compaction as compaction
    import workflows.agent.leases as leases
    import workflows.agent.repeats as repeats
    import workflows.agent.together as together
    import workflows.agent.tools as tools
    from contracts.agent import AgentFailure, AgentRequest, AgentResult, AgentView
    from contracts.asks import Answer
    from contracts.base import Json
    from contracts.errors import Cancelled, StepError
    from contracts.leases import LeaseAnswer
    from contracts.names import AGENT_WORKFLOW, ANSWER_SIGNAL, LEASE_SIGNAL, VIEW_QUERY
    from workflows.agent.agent import Agent


@workflow.defn(name=AGENT_WORKFLOW)
class AgentWorkflow:
    @workflow.init
    def __init__(self, request: AgentRequest) -> None:
        self._agent = Agent(request)

    @workflow.run
    async def run(self, request: AgentRequest) -> AgentResult:
        agent = self._agent
        try:
            output = await _work(agent)
            while isinstance(output, AgentRequest):
                agent = self._agent = Agent(output)
                output = await _work(agent)
        except StepError as error:
            agent.status, agent.last = "failed", str(error)
            raise ApplicationError(
                str(error), _left_behind(agent, error.detail), type=error.type_name(), non_retryable=True
            ) from error
        except asyncio.CancelledError as error:
            has_used = agent.reserves and agent.usage.calls > 0
            if not agent.others.undo and not has_used:
                raise
            # A cancelled workflow has no result to tell what it used, and what is to be undone.
            cancelled = f"{agent.request.agent} was stopped"
            raise ApplicationError(
                cancelled, _left_behind(agent, None), type=Cancelled.type_name(), non_retryable=True
            ) from error
        agent.status, agent.last = "completed", "answered"
        return AgentResult(
            output=output,
            usage=agent.usage,
            turns=agent.usage.calls,
            tool_calls=agent.tool_calls,
            notes=agent.notes,
            undo=agent.others.undo,
            stands=agent.others.stands,
            children=agent.others.children,
            tainted=agent.tainted,
            waited=agent.waited,
        )

    @workflow.signal(name=LEASE_SIGNAL)
    async def lease(self, answer: LeaseAnswer) -> None:
        leases.take(self._agent, answer)

    @workflow.signal(name=ANSWER_SIGNAL)
    def answer(self, answer: Answer) -> None:
        self._agent.take_answer(answer)

    @workflow.query(name=VIEW_QUERY)
    def view(self) -> AgentView:
        return self._agent.view()


def _left_behind(agent: Agent, detail: Json) -> AgentFailure:
    return AgentFailure(
        usage=agent.usage,
        turns=agent.usage.calls,
        detail=detail,
        notes=agent.notes,
        undo=agent.others.undo,
        stands=agent.others.stands,
        children=agent.others.children,
        tainted=agent.tainted,
        waited=agent.waited,
    )


async def _work(agent: Agent) -> Json | AgentRequest:
    """The agent's answer, or the request of the one to whom it handed its task over."""
    while True:  # Until an answer or a limit; `turns` always is one.
        reply = await compaction.ask(agent)
        agent.conversation.add(reply.message, stored=True)
        if reply.message.tool_calls:
            await tools.call_tools(agent, reply.message.tool_calls)
            if (successor := together.handed_over(agent)) is not None:
                return successor
            repeats.notice(agent)
        elif (wrong := answers.problems(agent, reply.message)) is None:
            return answers.answer(agent, reply.message)
        else:
            answers.correct(agent, wrong, reply)
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(agent.request.model_copy(update={"snapshot": agent.snapshot()}))
