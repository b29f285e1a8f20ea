"""The hand-written agent that ours is measured against: a loop that resends its transcript through the typed client."""

import json
from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

INSTRUCTIONS = "You look numbers up."
TASK = "Look them all up, one after the other."
RESULT_BYTES = 2_000
"""Of a tool's result."""

FUNCTION = {
    "name": "bench_lookup",
    "description": "What is known of a number.",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
}


def found(number: int) -> str:
    """What is known of a number: so many bytes, different for each."""
    return f"{number}: ".ljust(RESULT_BYTES, "x")


class Ask(BaseModel):
    model: str
    messages: list[dict[str, Any]]


@workflow.defn
class AgentByHand:
    """What a careful person would write: a model call and a tool call are activities, with timeouts and summaries."""

    @workflow.run
    async def run(self, model: str) -> str:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": TASK},
        ]
        while True:
            message: dict[str, Any] = await workflow.execute_activity(
                "by_hand.ask",
                Ask(model=model, messages=messages),
                result_type=dict[str, Any],
                start_to_close_timeout=timedelta(minutes=5),
                heartbeat_timeout=timedelta(seconds=10),
                summary="the agent thinks",
            )
            messages.append(message)
            if not message.get("tool_calls"):
                return str(message["content"])
            for call in message["tool_calls"]:
                text = await workflow.execute_activity(
                    "by_hand.lookup",
                    json.loads(call["function"]["arguments"])["number"],
                    result_type=str,
                    start_to_close_timeout=timedelta(minutes=5),
                    heartbeat_timeout=timedelta(seconds=10),
                    summary="lookup",
                )
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
