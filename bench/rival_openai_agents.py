"""The OpenAI Agents SDK on Temporal, by Temporal's plugin for it."""

from datetime import timedelta

import openai
from agents import Agent, Model, ModelProvider, OpenAIChatCompletionsModel, RunConfig, Runner
from temporalio import activity, workflow
from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
from temporalio.openai_agents.workflow import activity_as_tool

from bench.agent_by_hand import INSTRUCTIONS, TASK, found


@activity.defn
async def bench_lookup(number: int) -> str:
    """What is known of a number."""
    return found(number)


@workflow.defn(name="RivalOpenAIAgents")
class RivalOpenAIAgents:
    @workflow.run
    async def run(self, model: str) -> str:
        tool = activity_as_tool(
            bench_lookup, start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=10)
        )
        agent = Agent(name="clerk", instructions=INSTRUCTIONS, tools=[tool], model=model)
        result = await Runner.run(agent, TASK, max_turns=1_000, run_config=RunConfig(tracing_disabled=True))
        return str(result.final_output)


class Provider(ModelProvider):
    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    def get_model(self, model_name: str | None) -> Model:
        return OpenAIChatCompletionsModel(model=model_name or "", openai_client=self._client)


def plugin(client: openai.AsyncOpenAI) -> OpenAIAgentsPlugin:
    parameters = ModelActivityParameters(
        start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=10)
    )
    return OpenAIAgentsPlugin(model_params=parameters, model_provider=Provider(client), add_temporal_spans=False)
