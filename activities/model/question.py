"""One question to an endpoint, and its answer, in the form that suits the endpoint."""

import math
from collections.abc import Iterable, Mapping, Sequence
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


MOST_TOKENS = 1_000_000_000
"""More than this in one call is no count of tokens."""


def call_ids(given: Iterable[Any]) -> list[str]:
    """An id for each call of a message. A few endpoints give none, or one id to several calls."""
    said = [str(each) if each else "" for each in given]
    chosen: list[str] = []
    for index, each in enumerate(said):
        free = (f"call-{number}" for number in range(index, index + 2 * len(said) + 1))
        taken = {*chosen, *said}
        chosen.append(each if each and each not in chosen else next(name for name in free if name not in taken))
    return chosen


def token_count(value: Any) -> int | None:
    """Tokens as an endpoint counts them; None for what is no count."""
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if 0 <= number <= MOST_TOKENS else None
