"""The messages of an agent's conversation, and how each is referred to without being sent again."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.adapters import Adapter
from contracts.base import Contract, Json


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
    content = json.dumps(output, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return ToolMessage(call_id=call_id, content=content)


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
