"""One question to an endpoint, and its answer, in the form that suits the endpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import to_json

from activities.model.names import outside_names
from contracts.messages import Brief, Message

ReasonEnded = Literal["stop", "tool_calls", "length", "refusal", "content_filter"]
Choice = Literal["auto", "required", "none"]


@dataclass(frozen=True)
class Question:
    """`cap`: most output tokens, told in the field `cap_field` of Chat Completions. `choice`: of tools; `required`
    where the answer is a tool call too, so that text alone will not do. `stream`: the answer may come while it is made.
    """

    brief: Brief
    messages: Sequence[Message]
    model: str
    cap: int | None = None
    cap_field: str = "max_completion_tokens"
    choice: Choice = "auto"
    stream: bool = False

    def names(self) -> Mapping[str, str]:
        """For each tool's name the one the endpoint is shown."""
        return outside_names(tool.name for tool in self.brief.tools)

    def about(self, brief: Brief, messages: Sequence[Message], choice: Choice) -> "Question":
        return replace(self, brief=brief, messages=messages, choice=choice)


def inside_names(brief: Brief) -> Mapping[str, str]:
    """For each name an endpoint is shown the tool's own."""
    return {outside: name for name, outside in outside_names(tool.name for tool in brief.tools).items()}


def arguments_text(arguments: Any) -> str:
    """A call's arguments as text, `{}` when there are none; a few endpoints give the object itself."""
    if isinstance(arguments, str):
        return arguments or "{}"
    return "{}" if arguments is None else to_json(arguments).decode()
