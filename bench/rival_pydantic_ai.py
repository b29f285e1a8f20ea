"""Pydantic AI's own way on Temporal: an agent whose model and tool calls are activities."""

from datetime import timedelta
from typing import Any

import openai
from pydantic_ai import Agent
from pydantic_ai.durable_exec.temporal import AgentPlugin, PydanticAIPlugin, TemporalDurability
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from temporalio import workflow
from temporalio.workflow import ActivityConfig

from bench.agent_by_hand import INSTRUCTIONS, TASK, found

AGENTS: dict[str, Agent[Any, str]] = {}
"""By the model's name. The workflow finds its agent here."""


def agent(model: str, client: openai.AsyncOpenAI) -> Agent[Any, str]:
    durability: TemporalDurability[Any] = TemporalDurability(
        activity_config=ActivityConfig(
            start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=10)
        )
    )
    made = Agent(
        OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)),
        name="clerk",
        instructions=INSTRUCTIONS,
        capabilities=[durability],
    )

    @made.tool_plain
    async def bench_lookup(number: int) -> str:
        """What is known of a number."""
        return found(number)

    AGENTS[model] = made
    return made


@workflow.defn(name="RivalPydanticAI")
class RivalPydanticAI:
    @workflow.run
    async def run(self, model: str) -> str:
        result = await AGENTS[model].run(TASK)
        return result.output


def plugin() -> PydanticAIPlugin:
    return PydanticAIPlugin()


def worker_plugins(model: str, client: openai.AsyncOpenAI) -> list[Any]:
    return [AgentPlugin(agent(model, client))]
