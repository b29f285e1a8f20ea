"""Agents as a team that uses the OpenAI Agents SDK has them."""

import os
from typing import Literal

import openai
from agents import Agent, OpenAIChatCompletionsModel, function_tool
from pydantic import BaseModel


class Risk(BaseModel):
    risk: Literal["low", "high"]


@function_tool
def today() -> str:
    """The day."""
    return "a Monday"


clerk = Agent(name="clerk", instructions="You are a clerk.")
typed = Agent(name="typed", instructions="You are a clerk.", output_type=Risk)
client = openai.AsyncOpenAI(base_url=os.environ.get("OWN_MODEL_URL", "http://127.0.0.1:1"), api_key="k", max_retries=0)
_own_model = OpenAIChatCompletionsModel(model="own-model", openai_client=client)
with_model = Agent(name="with_model", instructions="You are a clerk.", model=_own_model)
handy = Agent(name="handy", instructions="You are a clerk.", tools=[today])
handing = Agent(name="handing", instructions="You hand over.", handoffs=[clerk])
number = 7
