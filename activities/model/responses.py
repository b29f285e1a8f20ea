"""The Responses API: a conversation as its request body, its answer as ours. Nothing is stored at the endpoint."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from activities.model.chat import ANSWER_NAME, Finish, bounded, task_text, usage
from activities.model.errors import Malformed
from activities.model.names import outside_names
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, ToolMessage, UserMessage
from contracts.model import Usage

PATH = "/responses"


def body(brief: Brief, messages: Sequence[Message], model: str, max_output_tokens: int | None) -> dict[str, Any]:
    names = outside_names(tool.name for tool in brief.tools)
    made: dict[str, Any] = {
        "model": model,
        "store": False,
        "instructions": brief.instructions,
        "input": [
            {"role": "user", "content": task_text(brief)},
            *(item for message in messages for item in _items(message, names)),
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
    if max_output_tokens is not None:
        made["max_output_tokens"] = max_output_tokens
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


def answer(data: Any, brief: Brief) -> tuple[AssistantMessage, Finish, Usage]:
    """Raises:
    Malformed: this is no response.
    """
    inside = {outside: name for name, outside in outside_names(tool.name for tool in brief.tools).items()}
    calls: list[CalledTool] = []
    texts: list[str] = []
    refusals: list[str] = []
    try:
        for item in data["output"]:
            if item["type"] == "function_call":
                name = inside.get(item["name"], item["name"])
                calls.append(CalledTool(id=item["call_id"], name=name, arguments=item.get("arguments") or "{}"))
            elif item["type"] == "message":
                for part in item["content"]:
                    texts += [part["text"]] if part["type"] == "output_text" else []
                    refusals += [part["refusal"]] if part["type"] == "refusal" else []
        said = AssistantMessage(content="".join(refusals or texts), tool_calls=tuple(calls))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Malformed(f"no response ({type(error).__name__}: {error}): {str(data)[:200]}") from error
    if data.get("status") == "failed":
        raise Malformed("the response failed, and it does not say why")
    return bounded(said), _finish(data, calls, refusals), usage(data, "input_tokens", "output_tokens")


def _finish(data: Mapping[str, Any], calls: Sequence[CalledTool], refusals: Sequence[str]) -> Finish:
    if refusals:
        return "refusal"
    if data.get("status") == "incomplete":
        details = data.get("incomplete_details")
        filtered = isinstance(details, Mapping) and details.get("reason") == "content_filter"
        return "content_filter" if filtered else "length"
    return "tool_calls" if calls else "stop"
