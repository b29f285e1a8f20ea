"""A Pydantic AI agent: our tools are its external tools, our conversation its message history."""

from collections.abc import Iterator
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, ExternalToolset, StructuredDict, ToolDefinition, UsageLimits
from pydantic_ai.capabilities import ReinjectSystemPrompt
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from activities.adapters.turn import MAX_REQUESTS, Ours, Said, Turn, answer_text, own_tool_called, parameters
from activities.model.chat import task_text
from contracts.messages import AssistantMessage, ToolMessage


def own_model(agent: Agent[Any, Any]) -> str | None:
    """The way to have it answered by an alias, unless it is."""
    return None if agent.model is None else "leave `model` out of it"


async def advance(turn: Turn) -> Said:
    agent: Agent[Any, Any] = turn.agent
    ours = None if own_model(agent) else turn.ours()
    result = await agent.run(
        message_history=list(_history(turn)),
        model=None if ours is None else _model(turn, ours),
        instructions=turn.brief.instructions or None,
        toolsets=[_offered(turn)],
        output_type=_output_type(turn, agent),
        usage_limits=UsageLimits(request_limit=MAX_REQUESTS),
        capabilities=[ReinjectSystemPrompt()],
    )
    new = result.new_messages()
    responses = [message for message in new if isinstance(message, ModelResponse)]
    calls: tuple[ToolCallPart, ...] = ()
    if isinstance(result.output, DeferredToolRequests):
        if result.output.approvals:
            raise own_tool_called(result.output.approvals[0].tool_name)
        calls = tuple(result.output.calls)
    last = responses[-1]
    return Said(
        content=(last.text or "") if calls else answer_text(result.output),
        calls=tuple(turn.called(call.tool_call_id, call.tool_name, call.args_as_json_str()) for call in calls),
        native=None if _is_plain(turn, new) else ModelMessagesTypeAdapter.dump_python(new, mode="json"),
        requests=len(responses),
        input_tokens=sum(response.usage.input_tokens for response in responses),
        output_tokens=sum(response.usage.output_tokens for response in responses),
        model=last.model_name or "unknown",
        url=last.provider_url or "",
    )


def _history(turn: Turn) -> Iterator[ModelMessage]:
    """The conversation as the framework's own; the last request is the one that it goes on from."""
    parts: list[ModelRequestPart] = [UserPromptPart(task_text(turn.brief))]
    called: dict[str, str] = {}
    for message in turn.messages:
        if isinstance(message, AssistantMessage):
            yield ModelRequest(parts=parts)
            parts = []
            called |= {call.id: turn.names.get(call.name, call.name) for call in message.tool_calls}
            if message.native is None:
                yield _response(turn, message)
            else:
                yield from ModelMessagesTypeAdapter.validate_python(message.native)
        elif isinstance(message, ToolMessage):
            name = called.get(message.call_id, "unknown")
            parts.append(ToolReturnPart(tool_name=name, content=message.content, tool_call_id=message.call_id))
        else:
            parts.append(UserPromptPart(message.content))
    yield ModelRequest(parts=parts)


def _response(turn: Turn, message: AssistantMessage) -> ModelResponse:
    parts: list[ModelResponsePart] = [TextPart(message.content)] if message.content else []
    parts += [
        ToolCallPart(turn.names.get(call.name, call.name), call.arguments, tool_call_id=call.id)
        for call in message.tool_calls
    ]
    return ModelResponse(parts=parts)


def _is_plain(turn: Turn, new: list[ModelMessage]) -> bool:
    """Whether our own words say all that was said: one response, of text or calls of our tools."""
    if len(new) != 1 or not isinstance(new[0], ModelResponse):
        return False
    return all(
        not part.provider_details
        and ((isinstance(part, ToolCallPart) and turn.is_ours(part.tool_name)) or isinstance(part, TextPart))
        for part in new[0].parts
    )


def _offered(turn: Turn) -> ExternalToolset[Any]:
    return ExternalToolset(
        [
            ToolDefinition(name=name, description=tool.description, parameters_json_schema=parameters(tool))
            for tool, name in turn.offered()
        ],
        id="surefoot",
    )


def _output_type(turn: Turn, agent: Agent[Any, Any]) -> Any:
    """The agent's own type of answer; where that is text, the step's schema. Or calls of our tools."""
    wanted: Any = agent.output_type
    schema = turn.brief.output
    if wanted is str and schema is not None and schema.get("type") == "object":
        wanted = StructuredDict(schema, name="answer")
    given = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    return given if DeferredToolRequests in given else [*given, DeferredToolRequests]


def _model(turn: Turn, ours: Ours) -> Model:
    if ours.endpoint is None or ours.client is None:
        return FunctionModel(lambda _, info: _scripted(turn, ours, info), model_name="rehearsal")
    kind = OpenAIChatModel if ours.endpoint.api == "chat" else OpenAIResponsesModel
    return kind(ours.endpoint.model, provider=OpenAIProvider(openai_client=ours.client))


def _scripted(turn: Turn, ours: Ours, info: AgentInfo) -> ModelResponse:
    said = ours.script().message
    if info.output_tools and not said.tool_calls:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, said.content)])
    return _response(turn, said)
