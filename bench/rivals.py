"""Who our agent is measured against: a hand-written workflow, and what other frameworks offer on Temporal."""

from collections.abc import Callable
from typing import Any

import openai
from temporalio import activity

from bench.agent_by_hand import FUNCTION, Ask, found

RIVALS: dict[str, Any] = {}


def by_hand_activities(client: openai.AsyncOpenAI) -> list[Callable[..., Any]]:
    """Those of the hand-written workflow, with the typed client."""

    @activity.defn(name="by_hand.ask")
    async def ask(request: Ask) -> dict[str, Any]:
        messages: Any = request.messages
        tools: Any = [{"type": "function", "function": FUNCTION}]
        answer = await client.chat.completions.create(model=request.model, messages=messages, tools=tools)
        return answer.choices[0].message.model_dump(exclude_none=True)

    @activity.defn(name="by_hand.lookup")
    async def lookup(number: int) -> str:
        return found(number)

    return [ask, lookup]
