"""What becomes of a conversation that nears the end of its model's window, by the agent's policy.

An answer of the model stays with the results of its calls, so that whatever is left is a valid conversation. The last
turns always stay whole.
"""

from collections.abc import Iterable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.agent.model as model
    from contracts.errors import ConversationTooLong
    from contracts.messages import Message, ToolMessage, UserMessage
    from contracts.model import ModelReply
    from workflows.agent.agent import Agent
    from workflows.agent.conversation import Turn
    from workflows.agent.limits import estimate, last_said

KEPT_TURNS = 4
"""The last turns, which stay whole."""

SHORT = 300
"""Characters of a tool's result that is not worth taking out."""

WORTH = 0.1
"""Of the conversation's bytes; a compaction that frees less would have to come again at once."""

DROPPED = "[result taken out to save room; call the tool again if you need it]"

SUMMARY_TASK = (
    "The conversation is about to be shortened. Write down, for yourself, everything from it that you need to finish "
    "your task: what you found out, with exact names, numbers and ids; what you did; what is left to do. "
    "Answer with the notes alone, and call no tool."
)
SUMMARY_HEAD = "What came before was shortened to these notes of yours:\n\n"


async def ask(agent: Agent) -> ModelReply:
    """The model's next message; room is made for it where that is due, and once when an endpoint asks for it.

    Raises:
        ConversationTooLong: the policy is to keep it, or it cannot be made shorter.
        StepError: as `model.ask`.
    """
    await _keep_inside(agent)
    try:
        return await model.ask(agent)
    except ConversationTooLong as error:
        if not await _compact(agent):
            raise _too_long(agent, str(error)) from error
        return await model.ask(agent)


async def _keep_inside(agent: Agent) -> None:
    """Make room when the next call would fill more of the window than the policy says, and there is room to make."""
    window, at = agent.window, agent.request.compaction.at
    if not agent.reserves or window is None:
        return
    if estimate(agent) > at * window:
        await _compact(agent)
    if (tokens := estimate(agent)) > window:
        raise _too_long(agent, f"the conversation has about {tokens} tokens, and its model takes {window}")


async def _compact(agent: Agent) -> bool:
    """Shorten the conversation by the agent's policy. Whether there was enough to free to be worth it."""
    conversation, tokens = agent.conversation, estimate(agent)
    old = len(conversation.turns) - min(KEPT_TURNS, len(conversation.turns) // 2)
    match agent.request.compaction.policy:
        case "summarise" if _is_worth(agent, conversation.turns[:old]):
            how = await _summarise(agent, old)
        case "drop_results" if _is_worth(agent, filter(_has_results, conversation.turns[:old])):
            how = _drop_results(agent, old)
        case _:
            return False
    agent.note("compaction", f"{how}: about {estimate(agent)} of {tokens} tokens are left of the conversation")
    return True


async def _summarise(agent: Agent, old: int) -> str:
    """Put the model's own summary in the place of the old turns; what was done."""
    agent.last = "sums up what came before"
    request = agent.request
    aside = agent.conversation.aside(
        old, UserMessage(content=SUMMARY_TASK), run=request.run, step=request.step, turn=agent.turn
    )
    try:
        reply = await model.call(agent, agent.turn, "-summary", aside=aside)
    except ConversationTooLong:
        return f"it was too long to be summed up; {_drop_results(agent, old)}"
    text = reply.message.content.strip()
    if reply.finish != "stop" or not text:
        return f"{reply.model} gave no summary ({reply.finish}); {_drop_results(agent, old)}"
    agent.conversation.replace(0, old, [UserMessage(content=f"{SUMMARY_HEAD}{text}")])
    return f"{old} turns were summed up"


def _drop_results(agent: Agent, old: int) -> str:
    """Take long results out of the old turns; what was done. Turns without any keep their place, and cost nothing."""
    turns = agent.conversation.turns[:old]
    start = next((number for number, turn in enumerate(turns) if _has_results(turn)), old)
    if start == old:
        return "there were no tool results to take out"
    messages = [entry.message for turn in turns[start:] for entry in turn.entries]
    dropped = sum(_is_long(message) for message in messages)
    agent.conversation.replace(start, old, [_without_result(message) for message in messages])
    return f"{dropped} old tool results were taken out"


def _is_worth(agent: Agent, turns: Iterable[Turn]) -> bool:
    return sum(turn.size for turn in turns) >= WORTH * agent.conversation.size


def _has_results(turn: Turn) -> bool:
    return any(_is_long(entry.message) for entry in turn.entries)


def _is_long(message: Message) -> bool:
    return isinstance(message, ToolMessage) and len(message.content) > SHORT


def _without_result(message: Message) -> Message:
    return message.model_copy(update={"content": DROPPED}) if _is_long(message) else message


def _too_long(agent: Agent, why: str) -> ConversationTooLong:
    name = agent.request.agent
    way_out = f"have less read, set agents.{name}.compaction, or give it a model with a larger window"
    detail = {"turns": agent.turn, "policy": agent.request.compaction.policy, "so_far": last_said(agent)}
    return ConversationTooLong(f"{name} stopped: {why}; {way_out}", detail)
