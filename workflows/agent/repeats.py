"""An agent that makes the same calls to the same results and learns nothing new is told once, then stopped."""

from hashlib import sha256

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import RepeatedCall
    from contracts.errors import Repeating
    from contracts.messages import AssistantMessage, CalledTool, ToolMessage, UserMessage
    from workflows.agent.agent import Agent
    from workflows.agent.limits import last_said

TOLD_AT = 3
"""Turns with one call and one result, and nothing new between them, after which the model is told. One more stops
it."""

REMEMBERED = 200
"""Calls whose results are remembered, the last ones."""

_SHOWN = 300


def notice(agent: Agent) -> None:
    """Look at the calls that were just made and answered.

    Raises:
        Repeating: the model was told, and makes the same call to the same result all the same.
    """
    if not agent.reserves:
        return
    made = {_digest(call.name, call.arguments): (call, result) for call, result in _answered(agent)}
    results = {key: _digest(result) for key, (_, result) in made.items()}
    for key, result in results.items():
        known = agent.repeats.pop(key, None)
        if known is None or known.result != result:
            agent.repeats = {each: RepeatedCall(result=past.result) for each, past in agent.repeats.items()}
            agent.repeats[key] = RepeatedCall(result=result)
        else:
            agent.repeats[key] = known.model_copy(update={"times": known.times + 1})
    for key, (call, answer) in made.items():
        _deal_with(agent, key, call, answer)
    for key in list(agent.repeats)[:-REMEMBERED]:
        del agent.repeats[key]


def _deal_with(agent: Agent, key: str, call: CalledTool, answer: str) -> None:
    repeated = agent.repeats[key]
    shown = f"{call.name} {call.arguments}"[:_SHOWN]
    if repeated.told:
        raise Repeating(
            f"{agent.request.agent} repeats itself: {shown} gave the same result {repeated.times} times, "
            "nothing new in between, also after it was told",
            {"call": shown, "result": answer[:_SHOWN], "turns": agent.turn, "so_far": last_said(agent)},
        )
    if repeated.times >= TOLD_AT:
        agent.repeats[key] = repeated.model_copy(update={"told": True})
        told = f"You made the same call {repeated.times} times, each time with the same result: {shown}"
        agent.conversation.add(
            UserMessage(content=f"{told}. Do not make it again: go on with what you know, or answer."), stored=False
        )
        agent.note("repeat", f"{agent.request.agent} was told that it repeats itself: {shown}")


def _answered(agent: Agent) -> list[tuple[CalledTool, str]]:
    """The calls of the last turn, each with what the model is told of it."""
    messages = [entry.message for entry in agent.conversation.pending]
    told = {message.call_id: message.content for message in messages if isinstance(message, ToolMessage)}
    calls = [call for message in messages if isinstance(message, AssistantMessage) for call in message.tool_calls]
    return [(call, told.get(call.id, "")) for call in calls]


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:16]
