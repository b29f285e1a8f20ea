"""Chat Completions: a conversation as its request body, its answer as ours."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic_core import to_json

from activities.model.errors import Malformed
from activities.model.names import outside_names
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, ToolMessage, UserMessage
from contracts.model import Usage

PATH = "/chat/completions"
ANSWER_NAME = "answer"

MAX_ANSWER_BYTES = 1_500_000
"""Of a message as JSON. Temporal refuses payloads over 2 MiB, and would retry such a result without end."""

Finish = Literal["stop", "tool_calls", "length", "refusal", "content_filter"]


def task_text(brief: Brief) -> str:
    """The first user message: the task, and its context as JSON."""
    return brief.task if brief.context is None else f"{brief.task}\n\nContext:\n{to_json(brief.context).decode()}"


def body(brief: Brief, messages: Sequence[Message], model: str, max_output_tokens: int | None) -> dict[str, Any]:
    names = outside_names(tool.name for tool in brief.tools)
    made: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": brief.instructions},
            {"role": "user", "content": task_text(brief)},
            *(_message(message, names) for message in messages),
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
    if brief.output is not None:
        schema = {"name": ANSWER_NAME, "schema": brief.output}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    if max_output_tokens is not None:
        made["max_completion_tokens"] = max_output_tokens
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


def answer(data: Any, brief: Brief) -> tuple[AssistantMessage, Finish, Usage]:
    """Raises:
    Malformed: this is no chat completion.
    """
    try:
        choice = data["choices"][0]
        message = choice["message"]
        inside = {outside: name for name, outside in outside_names(tool.name for tool in brief.tools).items()}
        calls = tuple(
            CalledTool(
                id=str(call.get("id") or f"call-{index}"),
                name=inside.get(call["function"]["name"], call["function"]["name"]),
                arguments=call["function"].get("arguments") or "{}",
            )
            for index, call in enumerate(message.get("tool_calls") or ())
        )
        text = message.get("content") or ""
        said = AssistantMessage(content=message.get("refusal") or text, tool_calls=calls)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Malformed(f"no chat completion ({type(error).__name__}: {error}): {str(data)[:200]}") from error
    finish = _finish(choice.get("finish_reason"), message, calls)
    return bounded(said), finish, usage(data, "prompt_tokens", "completion_tokens")


def bounded(said: AssistantMessage) -> AssistantMessage:
    """Raises:
    Malformed: it is larger than a turn can hold.
    """
    size = len(said.model_dump_json())
    if size > MAX_ANSWER_BYTES:
        raise Malformed(f"{size / 1e6:.1f} MB, more than the {MAX_ANSWER_BYTES / 1e6:.1f} MB a turn can hold")
    return said


def _finish(reason: Any, message: Mapping[str, Any], calls: Sequence[CalledTool]) -> Finish:
    if message.get("refusal"):
        return "refusal"
    if reason in ("length", "content_filter"):
        return "length" if reason == "length" else "content_filter"
    return "tool_calls" if calls else "stop"


def usage(data: Mapping[str, Any], sent: str, received: str) -> Usage:
    """One call's tokens; zero, and unpriced, where an endpoint does not say."""
    found = data.get("usage")
    if not isinstance(found, Mapping) or found.get(sent) is None:
        return Usage(calls=1, unpriced=1)
    return Usage(calls=1, input_tokens=int(found[sent]), output_tokens=int(found.get(received) or 0))
