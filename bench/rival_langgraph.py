"""LangGraph on Temporal, by Temporal's plugin for it: each node of the graph is an activity."""

import json
from datetime import timedelta
from typing import Any

import openai
from langchain_core.messages import AIMessage, SystemMessage, convert_to_openai_messages
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from temporalio import workflow
from temporalio.langgraph import LangGraphPlugin, graph

from bench.agent_by_hand import FUNCTION, INSTRUCTIONS, TASK, found

MODEL = "turns-5"


async def bench_lookup(number: int) -> str:
    """What is known of a number."""
    return found(number)


CLIENTS: list[openai.AsyncOpenAI] = []
"""Nodes must be functions of a module, so that what they need is found here."""


async def think(state: MessagesState) -> dict[str, Any]:
    messages: Any = convert_to_openai_messages([SystemMessage(INSTRUCTIONS), *state["messages"]])
    tools: Any = [{"type": "function", "function": FUNCTION}]
    answer = await CLIENTS[-1].chat.completions.create(model=MODEL, messages=messages, tools=tools)
    said = answer.choices[0].message
    calls = [
        {"id": call.id, "name": call.function.name, "args": json.loads(call.function.arguments)}
        for call in said.tool_calls or ()
        if call.type == "function"
    ]
    return {"messages": [AIMessage(said.content or "", tool_calls=calls)]}


_LOOKUP = ToolNode([bench_lookup])


async def call_tools(state: MessagesState) -> Any:
    return await _LOOKUP.ainvoke(state)


def made() -> Any:
    options: dict[str, Any] = {
        "execute_in": "activity",
        "start_to_close_timeout": timedelta(minutes=5),
        "heartbeat_timeout": timedelta(seconds=10),
    }
    built = StateGraph(MessagesState)
    built.add_node("think", think, metadata=options)
    built.add_node("tools", call_tools, metadata=options)
    built.add_edge(START, "think")
    built.add_conditional_edges("think", tools_condition)
    built.add_edge("tools", "think")
    return built


@workflow.defn(name="RivalLangGraph")
class RivalLangGraph:
    @workflow.run
    async def run(self, model: str) -> str:
        state = await graph(model).compile().ainvoke({"messages": [("user", TASK)]}, {"recursion_limit": 1_000})
        return str(state["messages"][-1].content)


def plugin(model: str, client: openai.AsyncOpenAI) -> LangGraphPlugin:
    CLIENTS.append(client)
    return LangGraphPlugin(graphs={model: made()})
