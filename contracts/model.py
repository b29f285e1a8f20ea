"""A model call: what goes in, what comes out. Constant in size, whatever the conversation's length."""

from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from contracts.base import Contract, Lean
from contracts.messages import AssistantMessage, Brief, Message

LEAST_ANSWER = 100
"""Output tokens that are worth a call."""

CONVERSATION_LOST = "ConversationLost"
"""Type of the error a model call fails with when its store lacks some content; details: [missing digests]."""


class Usage(Contract):
    """What model calls used. `cost` in US dollars; `unpriced` calls had no known price and count as 0."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    rehearsed: int = Field(default=0, description="calls answered by the rehearsal model, free of charge")

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=self.cost + other.cost,
            unpriced=self.unpriced + other.unpriced,
            rehearsed=self.rehearsed + other.rehearsed,
        )

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class ModelRequest(Lean):
    """One model call. The conversation is everything under `head` and then the messages `added`.

    `brief`, `head` and `added` are digests; `supply` holds content the store may not have yet: the new on a
    conversation's first call, what was missing after `ConversationLost`. `models`: the chain in place of the brief's.

    `max_tokens` and `max_cost` (US dollars): what it may use in all, given that its input is about `input_tokens`;
    it fails with `LimitReached` when that is not enough.
    """

    brief: str
    head: str
    added: tuple[str, ...] = ()
    supply_brief: Brief | None = None
    supply: tuple[Message, ...] = ()
    supply_links: tuple["Link", ...] = ()
    run: str
    step: str
    turn: int
    max_output_tokens: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    input_tokens: int = 0
    models: tuple[str, ...] = ()
    purpose: Literal["turn", "summary"] = "turn"


class Link(Contract):
    """One step of a conversation's chain: `link(head, added)` is the head it leads to."""

    head: str
    added: tuple[str, ...]


class ModelReply(Lean):
    """The model's message and how it ended. `refusal` and `content_filter` are outcomes, `length` is never success.

    `window`: tokens that the model takes, in and out, where that is known. `notes`: what happened on the way to it.
    """

    message: AssistantMessage
    finish: Literal["stop", "tool_calls", "length", "refusal", "content_filter"]
    model: str
    usage: Annotated[Usage, PlainSerializer(lambda usage: usage.model_dump(exclude_defaults=True))]
    rehearsal: bool = False
    window: int | None = None
    notes: tuple[str, ...] = ()
