"""Asking the model: one turn is one call, two when the first answer was cut off."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import CALL_MODEL
    from contracts.errors import AnswerRefused, ModelFailed
    from contracts.model import CONVERSATION_LOST, ModelReply, ModelRequest
    from contracts.process import Retry
    from workflows.agent.agent import Agent
    from workflows.agent.limits import check_limits
    from workflows.calls import Call, failure

MODEL_TIMEOUT = timedelta(minutes=10)
FIRST_CAP = 8_192
"""Output tokens allowed in the one more try after an answer was cut off for its length without a cap of ours."""


async def ask(agent: Agent) -> ModelReply:
    """The model's next message, which is not yet part of the conversation.

    Raises:
        AnswerRefused: it declined, or a content filter stopped it.
        ModelFailed: no model of the chain will do, or the answer was cut off twice.
    """
    agent.turn += 1
    agent.last = f"turn {agent.turn}: thinking"
    reply = await _call(agent, None)
    if reply.finish == "length":
        cap = max(FIRST_CAP, 2 * reply.usage.output_tokens)
        agent.last = f"turn {agent.turn}: cut off for its length, once more with up to {cap} tokens"
        reply = await _call(agent, cap)
    if reply.finish == "length":
        used = reply.usage.output_tokens
        raise ModelFailed(f"{reply.model} was cut off for its length twice, the second time after {used} tokens")
    if reply.finish in ("refusal", "content_filter"):
        how = "declined" if reply.finish == "refusal" else "was stopped by a content filter"
        raise AnswerRefused(f"{reply.model} {how}: {reply.message.content[:500] or 'no reason given'}")
    agent.conversation.commit()
    return reply


async def _call(agent: Agent, cap: int | None) -> ModelReply:
    request = agent.conversation.request(
        run=agent.request.run, step=agent.request.step, turn=agent.turn, max_output_tokens=cap
    )
    try:
        reply = await _execute(agent, request)
    except ActivityError as error:
        missing = _missing(error)
        if missing is None:
            check_limits(agent)
            raise failure(error, "model").as_error() from error
        reply = await _execute_resupplied(agent, request, missing)
    agent.usage += reply.usage
    for text in reply.notes:
        agent.note("fallback", text)
    return reply


async def _execute_resupplied(agent: Agent, request: ModelRequest, missing: Sequence[str]) -> ModelReply:
    try:
        return await _execute(agent, agent.conversation.resupply(request, missing))
    except ActivityError as error:
        raise failure(error, "model").as_error() from error


async def _execute(agent: Agent, request: ModelRequest) -> ModelReply:
    call = Call(
        id=f"turn-{agent.turn}" + ("-longer" if request.max_output_tokens else ""),
        summary=f"turn {agent.turn}: {agent.request.agent} thinks",
        deadline=agent.time_left(),
        priority=agent.request.priority,
    )
    reply: ModelReply = await workflow.execute_activity(
        CALL_MODEL.name, request, result_type=ModelReply, **call.options(Retry(), MODEL_TIMEOUT)
    )
    return reply


def _missing(error: ActivityError) -> Sequence[str] | None:
    """The digests that the store lacks, when that is why a model call failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == CONVERSATION_LOST:
        return [str(digest) for digest in cause.details[0]]
    return None
