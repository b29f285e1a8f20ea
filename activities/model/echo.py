"""A conversation as endpoints take it back: they refuse what a model of theirs may well have said.

Ids that are given twice, names that no tool can have, arguments that are no JSON object: each answered with status 400.
The conversation keeps what the model said; only what is sent is mended, each time in the same way.
"""

from collections import defaultdict, deque
from collections.abc import Sequence

from pydantic_core import from_json, to_json

from activities.model.names import fitting
from contracts.messages import AssistantMessage, CalledTool, Message, ToolMessage

UNREAD = "unreadable"
"""Holds arguments that could not be read, as the model wrote them."""
NAMELESS = "unnamed"


def sendable(messages: Sequence[Message], tools: Sequence[str]) -> tuple[Message, ...]:
    """The messages with calls that every endpoint takes. Results follow the calls they are of, in their order.

    Args:
        tools: names that are shown to the endpoint under names of its own.
    """
    known = frozenset(tools)
    taken: set[str] = set()
    made: list[Message] = []
    awaited: defaultdict[str, deque[str]] = defaultdict(deque)
    for message in messages:
        if isinstance(message, AssistantMessage) and message.tool_calls:
            awaited.clear()
            calls = tuple(_call(call, taken, known) for call in message.tool_calls)
            for said, sent in zip(message.tool_calls, calls, strict=True):
                awaited[said.id].append(sent.id)
            made.append(message.model_copy(update={"tool_calls": calls}))
        elif isinstance(message, ToolMessage) and awaited[message.call_id]:
            made.append(message.model_copy(update={"call_id": awaited[message.call_id].popleft()}))
        else:
            made.append(message)
    return tuple(made)


def _call(call: CalledTool, taken: set[str], known: frozenset[str]) -> CalledTool:
    name = call.name if call.name in known else fitting(call.name) or NAMELESS
    return CalledTool(id=_free(call.id, taken), name=name, arguments=_arguments(call.arguments))


def _free(wanted: str, taken: set[str]) -> str:
    """The id, or the next one like it that no call before has."""
    wanted = wanted or "call"
    chosen, number = wanted, 1
    while chosen in taken:
        number += 1
        chosen = f"{wanted}-{number}"
    taken.add(chosen)
    return chosen


def _arguments(text: str) -> str:
    try:
        is_object = isinstance(from_json(text, allow_inf_nan=False), dict)
    except ValueError:
        is_object = False
    return text if is_object else to_json({UNREAD: text}).decode()
