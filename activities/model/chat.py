"""Chat Completions: a conversation as its request body, its answer as ours, its stream as its answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from activities.model.errors import Malformed
from activities.model.finish import is_json
from activities.model.question import Question, ReasonEnded, arguments_text, call_ids, inside_names, token_count
from activities.model.speech import Speaker
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, ToolMessage, UserMessage
from contracts.model import Usage

PATH = "/chat/completions"
ANSWER_NAME = "answer"

MAX_ANSWER_BYTES = 1_500_000
"""Of a message as JSON. Temporal refuses payloads over 2 MiB, and would retry such a result without end."""


def task_text(brief: Brief) -> str:
    """The first user message: the task, and its context as JSON."""
    return brief.task if brief.context is None else f"{brief.task}\n\nContext:\n{to_json(brief.context).decode()}"


def body(asked: Question) -> dict[str, Any]:
    names, brief = asked.names(), asked.brief
    made: dict[str, Any] = {
        "model": asked.model,
        "messages": [
            {"role": "system", "content": brief.instructions},
            {"role": "user", "content": task_text(brief)},
            *(_message(message, names) for message in asked.messages),
        ],
    }
    if brief.tools:
        made["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": names[tool.name],
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in brief.tools
        ]
    if brief.tools and asked.choice != "auto":
        made["tool_choice"] = asked.choice
    if brief.output is not None:
        schema = {"name": ANSWER_NAME, "schema": brief.output}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    if asked.cap is not None:
        made[asked.cap_field] = asked.cap
    if asked.stream:
        made |= {"stream": True, "stream_options": {"include_usage": True}}
    return made


def _message(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(message, UserMessage):
        return {"role": "user", "content": message.content}
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    made: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": names.get(call.name, call.name), "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return made


def answer(data: Any, brief: Brief) -> tuple[AssistantMessage, ReasonEnded, Usage]:
    """Raises:
    Malformed: this is no chat completion.
    """
    try:
        choice = data["choices"][0]
        message = choice["message"]
        inside = inside_names(brief)
        made = message.get("tool_calls") or ()
        calls = tuple(
            CalledTool(
                id=identity,
                name=inside.get(call["function"]["name"], call["function"]["name"]),
                arguments=arguments_text(call["function"].get("arguments")),
            )
            for identity, call in zip(call_ids(call.get("id") for call in made), made, strict=True)
        )
        said = AssistantMessage(content=message.get("refusal") or text_of(message.get("content")), tool_calls=calls)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Malformed(f"no chat completion ({type(error).__name__}: {error}): {str(data)[:200]}") from error
    ended = _ended(choice.get("finish_reason"), message, calls)
    return bounded(said), ended, usage(data, "prompt_tokens", "completion_tokens")


def text_of(content: Any) -> str:
    """A message's text; a few endpoints give it in parts.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError(f"the content is {type(content).__name__}")
    return content or ""


def bounded(said: AssistantMessage) -> AssistantMessage:
    """Raises:
    Malformed: it is larger than a turn can hold.
    """
    if len(said.model_dump_json()) > MAX_ANSWER_BYTES:
        raise too_large()
    return said


def too_large() -> Malformed:
    return Malformed(f"it is larger than the {MAX_ANSWER_BYTES / 1e6:.1f} MB a turn can hold")


def _ended(reason: Any, message: Mapping[str, Any], calls: Sequence[CalledTool]) -> ReasonEnded:
    if message.get("refusal"):
        return "refusal"
    if reason in ("length", "content_filter"):
        return "length" if reason == "length" else "content_filter"
    return "tool_calls" if calls else "stop"


def usage(data: Mapping[str, Any], sent: str, received: str) -> Usage:
    """One call's tokens; zero, and unpriced, where an endpoint does not say."""
    found = data.get("usage")
    counts = found if isinstance(found, Mapping) else {}
    if (tokens := token_count(counts.get(sent))) is None:
        return Usage(calls=1, unpriced=1)
    return Usage(calls=1, input_tokens=tokens, output_tokens=token_count(counts.get(received)) or 0)


class Assembly:
    """A streamed chat completion, put together from its chunks."""

    over = False
    """The usage follows the end of the message, or it does not: only the end of the stream tells."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._calls: list[_Fragments] = []
        self._at: dict[int, int] = {}
        self._reason: Any = None
        self._usage: Any = None
        self._size = 0

    @property
    def begun(self) -> bool:
        return self._size > 0

    @property
    def whole(self) -> bool:
        return self._reason is not None

    def add(self, event: Mapping[str, Any]) -> None:
        self._usage = event.get("usage") or self._usage
        try:
            for choice in event.get("choices") or ():
                if not choice.get("index"):
                    self._add(choice)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Malformed(f"no chunk ({type(error).__name__}: {error}): {str(event)[:200]}") from error
        if self._size > MAX_ANSWER_BYTES:
            raise too_large()

    def _add(self, choice: Mapping[str, Any]) -> None:
        said = choice.get("delta") or {}
        for kind, pieces in self._texts.items():
            if text := text_of(said.get(kind)):
                pieces.append(text)
                self._size += len(text)
                self._speaker.say(text)
        for fragment in said.get("tool_calls") or ():
            self._add_call(fragment)
        self._reason = choice.get("finish_reason") or self._reason

    def _add_call(self, fragment: Mapping[str, Any]) -> None:
        function = fragment.get("function") or {}
        place = self._place(fragment.get("index"), fragment.get("id"), function.get("name"))
        call = self._calls[place]
        given = function.get("arguments")
        text = arguments_text(given) if given else ""
        call.name = call.name or function.get("name") or ""
        call.id = call.id or fragment.get("id") or ""
        call.arguments.append(text)
        self._size += len(text) + 1
        self._speaker.write(place, call.name, text)

    def _place(self, index: Any, call_id: Any, name: Any) -> int:
        """Which call a fragment belongs to: that of its index, unless it begins another."""
        position = index if isinstance(index, int) else -1
        known = self._at.get(position)
        if known is not None and not self._calls[known].ends_before(call_id, name):
            return known
        self._calls.append(_Fragments())
        self._at[position] = len(self._calls) - 1
        return self._at[position]

    def made(self) -> dict[str, Any]:
        message: dict[str, Any] = {kind: "".join(pieces) for kind, pieces in self._texts.items()}
        if self._calls:
            message["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": "".join(call.arguments)}}
                for call in self._calls
            ]
        said = [{"message": message, "finish_reason": self._reason}] if self.begun or self.whole else []
        return {"choices": said, "usage": self._usage}


class _Fragments:
    """A tool call that is being written."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def ends_before(self, call_id: Any, name: Any) -> bool:
        """Whether a fragment in its place begins another call. A few endpoints give whole calls without an index, or
        all with the same, some of them without ids; others give each fragment of one call an id of its own."""
        if not name:
            return False
        if call_id and self.id:
            return bool(call_id != self.id)
        return is_json("".join(self.arguments))
