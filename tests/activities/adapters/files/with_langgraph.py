"""Graphs as a team that uses LangGraph has them."""

from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


def _react(tools: list[BaseTool], model: BaseChatModel) -> Any:
    bound = model.bind_tools(tools)

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke([SystemMessage("You are a clerk."), *state["messages"]])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile()


def today() -> str:
    """The day."""
    return "a Monday"


def clerk(tools: list[BaseTool], model: BaseChatModel) -> Any:
    return _react(tools, model)


def handy(tools: list[BaseTool], model: BaseChatModel) -> Any:
    return _react([*tools, StructuredTool.from_function(today)], model)


class Score(TypedDict, total=False):
    name: str
    risk: str


def _score(state: Score) -> Score:
    return {"risk": "low" if state["name"] == "Ada" else "high"}


_graph = StateGraph(Score)
_graph.add_node("score", _score)
_graph.add_edge(START, "score")
_graph.add_edge("score", END)
scorer = _graph.compile()
uncompiled = _graph
number = 7
