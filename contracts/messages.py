"""The messages of an agent's conversation, and how each is referred to without being sent again."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.adapters import Adapter
from contracts.base import Contract, Json
from contracts.tools import Part


def _is_none(value: object) -> bool:
    """Left out of a message's JSON, so that its digest stays what it was before there was the field."""
    return value is None


class UserMessage(Contract):
    role: Literal["user"] = "user"
    content: str


class CalledTool(Contract):
    """A tool call a model asks for. `arguments` is the model's own text, meant to be a JSON object."""

    id: str
    name: str
    arguments: str


class AssistantMessage(Contract):
    """`native`: the turn in the words of the framework that an adapter speaks to, where ours do not say it all."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    tool_calls: tuple[CalledTool, ...] = ()
    native: Json = Field(default=None, exclude_if=_is_none)


class ToolMessage(Contract):
    """What the model is told of a call: the result as JSON text, or `error: ...`."""

    role: Literal["tool"] = "tool"
    call_id: str
    content: str


def tool_message(call_id: str, output: Json) -> ToolMessage:
    """What the model is told of a call that succeeded. Wherever it is made, equal outputs give equal messages."""
    return ToolMessage(call_id=call_id, content=json_text(output))


def part_message(call_id: str, part: Part) -> ToolMessage:
    """What the model is told of a call whose result is too large for a conversation."""
    shown = {"result": part.digest, "characters": part.size, "begins_with": part.head, "next": len(part.head)}
    how = "too large to be shown whole; read on with result.read, giving this result and the offset `next`"
    return ToolMessage(call_id=call_id, content=json_text({**shown, "note": how}))


def json_text(value: Json) -> str:
    """A value as JSON, the same wherever it is made."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def tool_error_message(call_id: str, error: str) -> ToolMessage:
    """What the model is told of a call that failed, after its retries."""
    return ToolMessage(call_id=call_id, content=f"error: {error}")


Message = Annotated[UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class OfferedTool(Contract):
    """A tool as a model is shown it."""

    name: str
    description: str
    parameters: dict[str, Any]


class Brief(Contract):
    """What stays the same through a conversation: sent once, referred to by its digest afterwards."""

    process: str
    agent: str
    instructions: str
    task: str
    context: Json = None
    models: tuple[str, ...]
    tools: tuple[OfferedTool, ...] = ()
    output: dict[str, Any] | None = Field(default=None, description="JSON Schema of the answer; None: free text")
    adapter: Adapter | None = Field(default=None, exclude_if=_is_none)


def digest(content: Contract) -> str:
    """The content's address: 32 hex digits of the SHA-256 of its JSON, the same in every process and version."""
    return digest_of(content.model_dump_json().encode())


def digest_of(body: bytes) -> str:
    """The address of content that is written as JSON already."""
    return hashlib.sha256(body).hexdigest()[:32]


def link(head: str, added: tuple[str, ...]) -> str:
    """The head of a conversation that had `head` and gained the messages with these digests."""
    return hashlib.sha256("\n".join((head, *added)).encode()).hexdigest()[:32]
