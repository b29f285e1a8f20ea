"""Agents as a team that uses Pydantic AI has them."""

import os
from typing import Literal

import openai
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Risk(BaseModel):
    risk: Literal["low", "high"]


clerk = Agent(name="clerk", system_prompt="You are a clerk.")
typed = Agent(name="typed", instructions="You are a clerk.", output_type=Risk)
client = openai.AsyncOpenAI(base_url=os.environ.get("OWN_MODEL_URL", "http://127.0.0.1:1"), api_key="k", max_retries=0)
with_model = Agent(OpenAIChatModel("own-model", provider=OpenAIProvider(openai_client=client)))
handy = Agent(name="handy", instructions="You are a clerk.")


@handy.tool_plain
def today() -> str:
    """The day."""
    return "a Monday"


number = 7
