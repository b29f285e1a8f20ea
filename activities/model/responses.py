"""The Responses API: a conversation as its request body, its answer as ours, its stream as its answer.

Nothing is stored at the endpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from activities.model.chat import ANSWER_NAME, MAX_ANSWER_BYTES, bounded, task_text, too_large, usage
from activities.model.errors import Malformed
from activities.model.question import Question, ReasonEnded, arguments_text, call_ids, inside_names
from activities.model.speech import Speaker
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, ToolMessage, UserMessage
from contracts.model import Usage

PATH = "/responses"


def body(asked: Question) -> dict[str, Any]:
    names, brief = asked.names(), asked.brief
    made: dict[str, Any] = {
        "model": asked.model,
        "store": False,
        "instructions": brief.instructions,
        "input": [
            {"role": "user", "content": task_text(brief)},
            *(item for message in asked.messages for item in _items(message, names)),
        ],
    }
    if brief.tools:
        made["tools"] = [
            {
                "type": "function",
                "name": names[tool.name],
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": False,
            }
            for tool in brief.tools
        ]
    if brief.output is not None:
        made["text"] = {"format": {"type": "json_schema", "name": ANSWER_NAME, "schema": brief.output, "strict": False}}
    if brief.tools and asked.choice != "auto":
        made["tool_choice"] = asked.choice
    if asked.cap is not None:
        made["max_output_tokens"] = asked.cap
    if asked.stream:
        made["stream"] = True
    return made


def _items(message: Message, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if isinstance(message, UserMessage):
        yield {"role": "user", "content": message.content}
    elif isinstance(message, ToolMessage):
        yield {"type": "function_call_output", "call_id": message.call_id, "output": message.content}
    else:
        if message.content:
            yield {"role": "assistant", "content": message.content}
        for call in message.tool_calls:
            yield {
                "type": "function_call",
                "call_id": call.id,
                "name": names.get(call.name, call.name),
                "arguments": call.arguments,
            }


def answer(data: Any, brief: Brief) -> tuple[AssistantMessage, ReasonEnded, Usage]:
    """Raises:
    Malformed: this is no response.
    """
    inside = inside_names(brief)
    calls: list[CalledTool] = []
    texts: list[str] = []
    refusals: list[str] = []
    try:
        for item in data["output"]:
            if item["type"] == "function_call":
                name = inside.get(item["name"], item["name"])
                arguments = arguments_text(item.get("arguments"))
                calls.append(
                    CalledTool(id=str(item.get("call_id") or item.get("id") or ""), name=name, arguments=arguments)
                )
            elif item["type"] == "message":
                for part in item["content"]:
                    texts += [part["text"]] if part["type"] == "output_text" else []
                    refusals += [part["refusal"]] if part["type"] == "refusal" else []
        ids = call_ids(call.id for call in calls)
        calls = [call.model_copy(update={"id": each}) for call, each in zip(calls, ids, strict=True)]
        said = AssistantMessage(content="".join(refusals or texts), tool_calls=tuple(calls))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Malformed(f"no response ({type(error).__name__}: {error}): {str(data)[:200]}") from error
    if data.get("status") == "failed":
        raise Malformed("the response failed, and it does not say why")
    return bounded(said), _ended(data, calls, refusals), usage(data, "input_tokens", "output_tokens")


def _ended(data: Mapping[str, Any], calls: Sequence[CalledTool], refusals: Sequence[str]) -> ReasonEnded:
    if refusals:
        return "refusal"
    if data.get("status") == "incomplete":
        details = data.get("incomplete_details")
        filtered = isinstance(details, Mapping) and details.get("reason") == "content_filter"
        return "content_filter" if filtered else "length"
    return "tool_calls" if calls else "stop"


_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Assembly:
    """A streamed response. Its last event holds the whole of it; those before are for who follows it live."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._items: list[Any] = []
        self._whole: dict[str, Any] | None = None
        self._size = 0

    @property
    def begun(self) -> bool:
        return self._size > 0

    @property
    def whole(self) -> bool:
        return self._whole is not None

    over = whole

    def add(self, event: Mapping[str, Any]) -> None:
        kind, delta = event.get("type"), event.get("delta")
        if kind in _ENDS:
            self._whole = event.get("response")
            if not isinstance(self._whole, dict):
                raise Malformed(f"{kind} without a response: {str(event)[:200]}")
        elif kind == "response.output_item.added":
            self._begin(event)
        elif kind == "response.output_item.done":
            self._items.append(event.get("item"))
        elif isinstance(delta, str):
            self._hear(str(kind), event.get("output_index"), delta)
        if self._size > MAX_ANSWER_BYTES:
            raise too_large()

    def _begin(self, event: Mapping[str, Any]) -> None:
        item, index = event.get("item"), event.get("output_index")
        if isinstance(item, Mapping) and item.get("type") == "function_call" and isinstance(index, int):
            self._size += 1
            self._speaker.write(index, str(item.get("name") or ""), "")

    def _hear(self, kind: str, index: Any, delta: str) -> None:
        self._size += len(delta)
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self._speaker.say(delta)
        elif kind == "response.function_call_arguments.delta" and isinstance(index, int):
            self._speaker.write(index, "", delta)

    def made(self) -> dict[str, Any]:
        """The response; a few endpoints leave the items out of it that they have told of before."""
        whole = self._whole or {}
        return whole if whole.get("output") or not self._items else {**whole, "output": self._items}
