"""An agent of the OpenAI Agents SDK: our tools are tools that wait for approval, our conversation its input items."""

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agents import (
    Agent,
    AgentOutputSchemaBase,
    FunctionTool,
    Model,
    ModelResponse,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    RunResult,
    ToolApprovalItem,
    Usage,
)
from agents.tool_context import ToolContext
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from activities.adapters.turn import MAX_REQUESTS, Ours, Said, Turn, answer_text, own_tool_called, parameters
from activities.model.chat import task_text
from contracts.base import Json
from contracts.messages import AssistantMessage, ToolMessage
from contracts.settings import OPENAI_URL


def own_model(agent: Agent[Any]) -> str | None:
    """The way to have it answered by an alias alone, unless it is. Those whom it hands over to never are."""
    own = [name for name, found in (("model", agent.model), ("handoffs", agent.handoffs)) if found]
    return f"leave {' and '.join(f'`{name}`' for name in own)} out of it" if own else None


async def advance(turn: Turn) -> Said:
    foreign: Agent[Any] = turn.agent
    ours = None if foreign.model is not None else turn.ours()
    result = await Runner.run(
        _prepared(turn, foreign, ours),
        input=list(_items(turn)),
        max_turns=MAX_REQUESTS if turn.own_tools else 1,
        # The run is followed in Temporal; the SDK would send its traces to its maker.
        run_config=RunConfig(tracing_disabled=True),
    )
    calls = tuple(_call(turn, item) for item in result.interruptions)
    usage = result.context_wrapper.usage
    model, url = _answered_by(foreign)
    return Said(
        content="" if calls else answer_text(result.final_output),
        calls=calls,
        native=_native(turn, result),
        requests=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        model=model,
        url=url,
    )


def _prepared(turn: Turn, foreign: Agent[Any], ours: Ours | None) -> Agent[Any]:
    """The agent with our tools, and with what it lacks: a model, a type of answer, the file's instructions."""
    changes: dict[str, Any] = {"tools": [*foreign.tools, *(_offered(turn))]}
    if ours is not None:
        changes["model"] = _model(turn, ours)
    if turn.brief.output is not None and foreign.output_type in (None, str):
        changes["output_type"] = _Schema(turn.brief.output)
    if turn.brief.instructions:
        changes["instructions"] = _with_instructions(foreign, turn.brief.instructions)
    return foreign.clone(**changes)


def _with_instructions(foreign: Agent[Any], more: str) -> Any:
    async def both(context: Any, agent: Agent[Any]) -> str:
        own = await foreign.get_system_prompt(context)
        return f"{own}\n\n{more}" if own else more

    return both


def _offered(turn: Turn) -> Iterator[FunctionTool]:
    async def never(context: ToolContext[Any], arguments: str) -> str:
        raise AssertionError(f"{context.tool_name} is run by the workflow")

    for tool, name in turn.offered():
        yield FunctionTool(
            name=name,
            description=tool.description,
            params_json_schema=parameters(tool),
            on_invoke_tool=never,
            strict_json_schema=False,
            needs_approval=True,
        )


def _items(turn: Turn) -> Iterator[Any]:
    """The conversation as input items."""
    yield {"role": "user", "content": task_text(turn.brief)}
    for message in turn.messages:
        if isinstance(message, AssistantMessage):
            if message.native is not None:
                yield from message.native
                continue
            if message.content:
                yield {"role": "assistant", "content": message.content}
            for call in message.tool_calls:
                name = turn.names.get(call.name, call.name)
                yield {"type": "function_call", "call_id": call.id, "name": name, "arguments": call.arguments}
        elif isinstance(message, ToolMessage):
            yield {"type": "function_call_output", "call_id": message.call_id, "output": message.content}
        else:
            yield {"role": "user", "content": message.content}


def _call(turn: Turn, item: ToolApprovalItem) -> Any:
    raw = item.raw_item
    name = item.tool_name or "unknown"
    if not isinstance(raw, ResponseFunctionToolCall) or not turn.is_ours(name):
        raise own_tool_called(name)
    return turn.called(raw.call_id, name, raw.arguments)


def _native(turn: Turn, result: RunResult) -> Json:
    """The items of the turn, where more than text or calls of our tools was said."""
    items = [item.to_input_item() for item in result.new_items if not isinstance(item, ToolApprovalItem)]
    calls = [item for item in items if item.get("type") == "function_call" and turn.is_ours(str(item.get("name")))]
    if len(calls) == len(items) or (not calls and len(items) == 1 and items[0].get("type") == "message"):
        return None
    return items


class _Schema(AgentOutputSchemaBase):
    """The step's schema as a type of answer. The workflow checks the answer, and sends a wrong one back."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return "answer"

    def json_schema(self) -> dict[str, Any]:
        return self._schema

    def is_strict_json_schema(self) -> bool:
        return False

    def validate_json(self, json_str: str) -> Any:
        return json_str


def _answered_by(foreign: Agent[Any]) -> tuple[str, str]:
    """Model and URL, as far as can be known."""
    if isinstance(foreign.model, str):
        return foreign.model, OPENAI_URL
    if isinstance(foreign.model, OpenAIChatCompletionsModel | OpenAIResponsesModel):
        return str(foreign.model.model), str(foreign.model._client.base_url).rstrip("/")
    return type(foreign.model).__name__, ""


def _model(turn: Turn, ours: Ours) -> Model:
    if ours.endpoint is None or ours.client is None:
        return _Rehearsal(turn, ours)
    kind = OpenAIChatCompletionsModel if ours.endpoint.api == "chat" else OpenAIResponsesModel
    return kind(model=ours.endpoint.model, openai_client=ours.client)


class _Rehearsal(Model):
    """Says what the process's script says."""

    def __init__(self, turn: Turn, ours: Ours) -> None:
        self._turn = turn
        self._ours = ours

    async def get_response(self, *args: Any, **more: Any) -> ModelResponse:
        said = self._ours.script().message
        output: list[Any] = [
            ResponseFunctionToolCall(
                type="function_call",
                call_id=call.id,
                name=self._turn.names.get(call.name, call.name),
                arguments=call.arguments,
            )
            for call in said.tool_calls
        ]
        if not output:
            text = ResponseOutputText(type="output_text", text=said.content, annotations=[])
            output.append(
                ResponseOutputMessage(
                    id=str(uuid.uuid4()), type="message", role="assistant", status="completed", content=[text]
                )
            )
        return ModelResponse(output=output, usage=Usage(requests=1), response_id=None)

    def stream_response(self, *args: Any, **more: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("a turn is not streamed")
