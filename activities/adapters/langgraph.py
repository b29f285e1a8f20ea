"""A LangGraph graph: stopped before its tools where ours are called, our conversation its list of messages.

A graph without `messages` in its state is one turn: the step's context goes in, its final state is the answer.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    convert_to_openai_messages,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.messages import ToolMessage as GraphToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from pydantic_core import from_json, to_jsonable_python

from activities.adapters.turn import MAX_REQUESTS, Ours, Said, Turn, answer_text, parameters
from activities.model.chat import task_text
from activities.model.errors import Complained, Malformed
from contracts.errors import ModelFailed
from contracts.messages import AssistantMessage, ToolMessage

MESSAGES = "messages"
_CONFIG: RunnableConfig = {"configurable": {"thread_id": "turn"}, "recursion_limit": 2 * MAX_REQUESTS}
Graph: TypeAlias = Pregel[Any, Any, Any, Any]


def own_model(graph: Any) -> str | None:
    """The way to have it answered by an alias, unless it may be."""
    return None if _takes_model(graph) else "make it a function of `tools` and `model`"


def _takes_model(graph: Any) -> bool:
    return not isinstance(graph, Pregel) and graph.__code__.co_argcount > 1


async def advance(turn: Turn) -> Said:
    graph = _graph(turn)
    if MESSAGES not in graph.channels:
        return await _once(turn, graph)
    before = [SystemMessage(turn.brief.instructions)] if turn.brief.instructions else []
    history = [*before, *_history(turn)]
    state = await _run(turn, graph, history)
    new: list[BaseMessage] = state[MESSAGES][len(history) :]
    if not new or not isinstance(new[-1], AIMessage | GraphToolMessage):
        raise ModelFailed(f"{_name(turn)}: the graph ended without a message of its own")
    said = [message for message in new if isinstance(message, AIMessage)]
    last = said[-1]
    calls = tuple(turn.called(str(call["id"]), call["name"], json.dumps(call["args"])) for call in _ours_in(turn, last))
    return Said(
        content=_text(last) if calls else _answer(state, last),
        calls=calls,
        native=None if len(new) == 1 and _is_plain(turn, last) else messages_to_dict(new),
        requests=len(said),
        input_tokens=sum((message.usage_metadata or _NO_USAGE)["input_tokens"] for message in said),
        output_tokens=sum((message.usage_metadata or _NO_USAGE)["output_tokens"] for message in said),
        model=str(last.response_metadata.get("model_name", "unknown")),
        url=str(last.response_metadata.get("base_url", "")),
    )


async def _once(turn: Turn, graph: Graph) -> Said:
    """A graph with a state of its own, from its input to its end. Its model calls are not known to us."""
    if turn.messages:
        wrong = turn.messages[-1]
        raise ModelFailed(f"{_name(turn)} gave a final state that cannot be corrected: {getattr(wrong, 'content', '')}")
    state = await graph.ainvoke(turn.brief.context or {}, _CONFIG)
    return Said(content=answer_text(to_jsonable_python(state)), requests=0, model=_name(turn), url="")


async def _run(turn: Turn, graph: Graph, history: Sequence[BaseMessage]) -> dict[str, Any]:
    """The state where the graph ended, or where it wants to call a tool of ours."""
    tool_nodes = dict(_tool_nodes(graph))
    given: Any = {MESSAGES: list(history)}
    for _ in range(MAX_REQUESTS):
        await graph.ainvoke(given, _CONFIG, interrupt_before=list(tool_nodes))
        reached = await graph.aget_state(_CONFIG)
        values: dict[str, Any] = reached.values
        waiting = tool_nodes.keys() & set(reached.next)
        if not waiting:
            return values
        last = values[MESSAGES][-1]
        own = [call for call in last.tool_calls if not turn.is_ours(call["name"])]
        if own and not turn.own_tools:
            raise _not_allowed(turn, own[0]["name"])
        if len(own) < len(last.tool_calls):
            # Ours are made by the workflow; its own of the same turn would never run once they are answered.
            results = [await _run_own(tool_nodes, call) for call in own]
            return values | {MESSAGES: [*values[MESSAGES], *results]}
        given = None
    raise ModelFailed(f"{_name(turn)}: no answer within {MAX_REQUESTS} calls of its own tools")


async def _run_own(tool_nodes: dict[str, ToolNode], call: ToolCall) -> BaseMessage:
    for node in tool_nodes.values():
        if call["name"] in node.tools_by_name:
            result: BaseMessage = await node.tools_by_name[call["name"]].ainvoke(call)
            return result
    return GraphToolMessage(f"error: there is no tool {call['name']}", tool_call_id=str(call["id"]))


def _graph(turn: Turn) -> Graph:
    """The graph with a memory for this turn. A function is given our tools, and our model when it takes two."""
    made = turn.agent
    if not isinstance(made, Pregel):
        ours = (AliasModel(turn=turn, answers=turn.ours()),) if _takes_model(made) else ()
        made = made(_offered(turn), *ours)
    if not isinstance(made, Pregel):
        raise ModelFailed(f"{_name(turn)} gave {type(made).__name__}, not a compiled graph; end it with `.compile()`")
    return made.copy({"checkpointer": InMemorySaver()})


def _tool_nodes(graph: Graph) -> Iterator[tuple[str, ToolNode]]:
    for name, node in graph.nodes.items():
        if isinstance(node.bound, ToolNode):
            yield name, node.bound


def _offered(turn: Turn) -> list[BaseTool]:
    async def never(**_: Any) -> str:
        raise AssertionError("it is run by the workflow")

    return [
        StructuredTool(name=name, description=tool.description or name, args_schema=parameters(tool), coroutine=never)
        for tool, name in turn.offered()
    ]


def _history(turn: Turn) -> Iterator[BaseMessage]:
    yield HumanMessage(task_text(turn.brief))
    for message in turn.messages:
        if isinstance(message, AssistantMessage):
            yield from [_said(turn, message)] if message.native is None else messages_from_dict(message.native)
        elif isinstance(message, ToolMessage):
            yield GraphToolMessage(message.content, tool_call_id=message.call_id)
        else:
            yield HumanMessage(message.content)


def _said(turn: Turn, message: AssistantMessage) -> AIMessage:
    calls = [
        tool_call(id=call.id, name=turn.names.get(call.name, call.name), args=from_json(call.arguments))
        for call in message.tool_calls
    ]
    return AIMessage(message.content, tool_calls=calls)


def _is_plain(turn: Turn, message: AIMessage) -> bool:
    return isinstance(message.content, str) and all(turn.is_ours(call["name"]) for call in message.tool_calls)


def _ours_in(turn: Turn, message: AIMessage) -> list[ToolCall]:
    return [call for call in message.tool_calls if turn.is_ours(call["name"])]


def _answer(state: dict[str, Any], last: AIMessage) -> str:
    structured = state.get("structured_response")
    return _text(last) if structured is None else answer_text(to_jsonable_python(structured))


def _text(message: AIMessage) -> str:
    return str(message.text)


def _name(turn: Turn) -> str:
    return turn.brief.adapter.object if turn.brief.adapter is not None else turn.brief.agent


def _not_allowed(turn: Turn, tool: str) -> ModelFailed:
    return ModelFailed(
        f"{_name(turn)} called {tool}, a tool of its own, which runs outside approvals; make it a tool of Surefoot, or "
        f"write agents.{turn.brief.agent}.adapter.own_tools: true"
    )


_NO_USAGE = UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0)


class AliasModel(BaseChatModel):
    """The model of the agent's alias, for a graph that brings none: its endpoint's Chat Completions, or the script."""

    turn: Any
    answers: Any

    @property
    def _llm_type(self) -> str:
        return "surefoot"

    def bind_tools(self, tools: Sequence[Any], **more: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **more)

    def _generate(self, *args: Any, **more: Any) -> ChatResult:
        raise NotImplementedError("call it with ainvoke")

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **more: Any
    ) -> ChatResult:
        ours: Ours = self.answers
        if ours.endpoint is None or ours.client is None:
            said = _said(self.turn, ours.script().message)
            return ChatResult(generations=[ChatGeneration(message=said)])
        schema = self.turn.brief.output
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        body = {
            "model": ours.endpoint.model,
            "messages": convert_to_openai_messages(messages),
            **({"response_format": form} if schema is not None else {}),
            **more,
        }
        data: Any = await ours.client.post("/chat/completions", body=body, cast_to=object)
        if not isinstance(data, dict):
            raise Malformed(f"not JSON: {str(data)[:200]}")
        Complained.look_at(data)
        metadata = {"model_name": ours.endpoint.model, "base_url": ours.endpoint.url}
        return ChatResult(generations=[ChatGeneration(message=_received(data, metadata))])


def _received(data: dict[str, Any], metadata: dict[str, Any]) -> AIMessage:
    try:
        message = data["choices"][0]["message"]
        calls = [
            tool_call(
                id=call["id"], name=call["function"]["name"], args=from_json(call["function"]["arguments"] or "{}")
            )
            for call in message.get("tool_calls") or ()
        ]
        used = data.get("usage") or {}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Malformed(f"no chat completion ({type(error).__name__}: {error}): {str(data)[:200]}") from error
    sent, received = int(used.get("prompt_tokens") or 0), int(used.get("completion_tokens") or 0)
    usage = UsageMetadata(input_tokens=sent, output_tokens=received, total_tokens=sent + received)
    return AIMessage(message.get("content") or "", tool_calls=calls, usage_metadata=usage, response_metadata=metadata)
