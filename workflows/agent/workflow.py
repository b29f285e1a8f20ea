"""Workflow `Agent`: one agent's turns, from its task to an answer that fits, inside its grants and limits."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.agent.answers as answers
    import workflows.agent.compaction as compaction
    import workflows.agent.leases as leases
    import workflows.agent.repeats as repeats
    import workflows.agent.tools as tools
    from contracts.agent import AgentFailure, AgentRequest, AgentResult, AgentView
    from contracts.asks import Answer
    from contracts.base import Json
    from contracts.errors import StepError
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
        except StepError as error:
            agent.status, agent.last = "failed", str(error)
            details = AgentFailure(usage=agent.usage, turns=agent.turn, detail=error.detail, notes=agent.notes)
            raise ApplicationError(str(error), details, type=error.type_name(), non_retryable=True) from error
        agent.status, agent.last = "completed", "answered"
        return AgentResult(
            output=output, usage=agent.usage, turns=agent.turn, tool_calls=agent.tool_calls, notes=agent.notes
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


async def _work(agent: Agent) -> Json:
    while True:  # Until an answer or a limit; `turns` always is one.
        reply = await compaction.ask(agent)
        agent.conversation.add(reply.message, stored=True)
        if reply.message.tool_calls:
            await tools.call_tools(agent, reply.message.tool_calls)
            repeats.notice(agent)
        elif (wrong := answers.problems(agent, reply.message)) is None:
            return answers.answer(agent, reply.message)
        else:
            answers.correct(agent, wrong, reply)
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(agent.request.model_copy(update={"snapshot": agent.snapshot()}))
