"""Asking the model: one turn is one call, two when the first answer was cut off."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.agent.leases as leases
    from contracts.activities import CALL_MODEL
    from contracts.errors import AnswerRefused, ConversationTooLong, LimitReached, ModelFailed
    from contracts.model import CONVERSATION_LOST, ModelReply, ModelRequest, Usage
    from contracts.process import Retry
    from workflows.agent.agent import Agent
    from workflows.agent.at_limit import make_room, reserved
    from workflows.agent.limits import Shortage, measure, settle
    from workflows.calls import Call, failure

MODEL_TIMEOUT = timedelta(minutes=10)
LOST_WORKER_PAUSE = timedelta(seconds=2)
"""Before a call whose worker was lost is made again; after any other end the activity itself says when."""

FIRST_CAP = 8_192
"""Output tokens allowed in the one more try after an answer was cut off for its length without a cap of ours."""


async def ask(agent: Agent) -> ModelReply:
    """The model's next message, which is not yet part of the conversation.

    Raises:
        AnswerRefused: it declined, or a content filter stopped it.
        ConversationTooLong: it does not take a conversation of this length.
        LimitReached: there is no room for the call.
        ModelFailed: no model of the chain will do, or the answer was cut off twice.
    """
    turn = agent.turn + 1
    reply = await call(agent, turn)
    if reply.finish == "length":
        cap = max(FIRST_CAP, 2 * reply.usage.output_tokens)
        agent.last = f"turn {turn}: cut off for its length, once more with up to {cap} tokens"
        reply = await call(agent, turn, "-longer", longer=cap)
    if reply.finish == "length":
        used = reply.usage.output_tokens
        raise ModelFailed(f"{reply.model} was cut off for its length twice, the second time after {used} tokens")
    if reply.finish in ("refusal", "content_filter"):
        how = "declined" if reply.finish == "refusal" else "was stopped by a content filter"
        raise AnswerRefused(f"{reply.model} {how}: {reply.message.content[:500] or 'no reason given'}")
    agent.conversation.commit()
    return reply


async def call(
    agent: Agent, turn: int, which: str = "", *, longer: int | None = None, aside: ModelRequest | None = None
) -> ModelReply:
    """One answer of the model to the conversation as it is, reserved and settled. Attempts that failed count too.

    Args:
        turn: the number it has, or is made beside.
        which: of the calls of one turn, as a part of the activity's id.
        longer: the cap of a call that is made once more because its answer was cut off.
        aside: a call that is no turn of the conversation.

    Raises:
        ConversationTooLong: it does not take a conversation of this length.
        LimitReached: there is no room for it.
        ModelFailed: no model of the chain will do.
    """
    while True:  # until an answer or a failure; a limit that was met is raised, or it fails
        reservation = await reserved(agent, longer)
        if not which:
            agent.turn = turn
            agent.last = f"turn {turn}: thinking"
        asked = aside or agent.conversation.request(run=agent.request.run, step=agent.request.step, turn=turn)
        request = asked.model_copy(
            update={
                "max_output_tokens": reservation.max_output_tokens,
                "max_tokens": reservation.max_tokens,
                "max_cost": reservation.max_cost,
                "input_tokens": reservation.input_tokens,
                "models": agent.models,
            }
        )
        try:
            reply = await _execute(agent, request, _call(agent, turn, which))
        except ActivityError as error:
            detail = _detail(error)
            if "usage" in detail:
                settle(agent, Usage.model_validate(detail["usage"]))
            if short := _shortage(error, detail):
                if leases.is_shorter(agent, short.limit):
                    await leases.lengthen(agent, cost=float(detail.get("needs", 0)))
                else:
                    await make_room(agent, short)
            elif not agent.reserves or not _is_out_of_time(agent):
                raise _meaning(agent, error, detail) from error
            continue
        settle(agent, reply.usage)
        if aside is None:
            measure(agent, reply)
        for text in reply.notes:
            agent.note("fallback", text)
        return reply


def _call(agent: Agent, turn: int, which: str) -> Call:
    return Call(
        id=f"turn-{turn}{which}",
        summary=f"turn {turn}: {agent.request.agent} thinks",
        deadline=agent.time_left(),
        priority=agent.request.priority,
    )


async def _execute(agent: Agent, request: ModelRequest, call: Call) -> ModelReply:
    """Make the call; once more with what the store turns out to lack."""
    options = call.options(Retry(), MODEL_TIMEOUT)
    # Waiting for an endpoint that is down uses no attempt up, so the activity counts them and says when to stop.
    options["retry_policy"] = RetryPolicy(
        initial_interval=LOST_WORKER_PAUSE, backoff_coefficient=1.0, maximum_attempts=0
    )
    try:
        reply: ModelReply = await workflow.execute_activity(CALL_MODEL.name, request, result_type=ModelReply, **options)
    except ActivityError as error:
        if (missing := _missing(error)) is None:
            raise
        again = agent.conversation.resupply(request, missing)
        reply = await workflow.execute_activity(CALL_MODEL.name, again, result_type=ModelReply, **options)
    return reply


def _missing(error: ActivityError) -> Sequence[str] | None:
    """The digests that the store lacks, when that is why a model call failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == CONVERSATION_LOST:
        return [str(digest) for digest in cause.details[0]]
    return None


def _detail(error: ActivityError) -> Mapping[str, Any]:
    details = error.cause.details if isinstance(error.cause, ApplicationError) else ()
    return next((item for item in details if isinstance(item, Mapping)), {})


def _shortage(error: ActivityError, detail: Mapping[str, Any]) -> Shortage | None:
    """The limit that has no room for the call at its real price, or once more after attempts that were paid for."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == LimitReached.type_name():
        return Shortage(str(detail.get("limit", "cost")), cause.message)
    return None


def _is_out_of_time(agent: Agent) -> bool:
    left = agent.time_left()
    return left is not None and left <= timedelta(0)


def _meaning(agent: Agent, error: ActivityError, detail: Mapping[str, Any]) -> Exception:
    if _is_out_of_time(agent):
        return Shortage("time", "its time is over").error(agent)
    meant = failure(error, "model").as_error()
    if agent.reserves and detail.get("too_long"):
        return ConversationTooLong(str(meant), meant.detail)
    return meant
