"""The rehearsal model: scripted replies beside a process, worked out from the agent's real input and tool results.

    agents:
      auditor:
        - call: [{tool: erp.read_order, with: {supplier: "${ context.supplier }"}}]
        - when: ${ results[0].total == context.amount }
          answer: {matches: true, risk: low}
        - answer: {matches: false, risk: high}

Replies are gone through in order; one whose `when` is false is skipped; the last is repeated when asked again.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from contracts.base import Contract, Json
from contracts.errors import ExpressionFailed, ModelFailed
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, ToolMessage
from contracts.model import ModelReply, Usage
from language.expressions import UnclosedExpression, evaluate, truth

MODEL_NAME = "rehearsal"
WAY_OUT = "mend it, or set OPENAI_API_KEY or OPENAI_BASE_URL for a real model"


class ScriptedCall(Contract):
    tool: str
    with_: Annotated[dict[str, Json], Field(alias="with")] = {}


class Reply(Contract):
    """Either tool calls or an answer."""

    when: str | bool | None = None
    call: tuple[ScriptedCall, ...] = ()
    answer: Json = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Reply":
        if bool(self.call) == ("answer" in self.model_fields_set):
            raise ValueError("write either call or answer")
        return self


class Script(Contract):
    agents: dict[str, Annotated[tuple[Reply, ...], Field(min_length=1)]] = {}


def rehearse(file: Path | None, brief: Brief, messages: Sequence[Message]) -> ModelReply:
    """The scripted reply that is next in this conversation.

    Raises:
        ModelFailed: there is no script for the agent, or the reply cannot be worked out.
    """
    if file is None:
        raise ModelFailed(
            f"process {brief.process} has no rehearsal.yaml to answer for agent {brief.agent}; write one beside "
            "process.yaml and start the worker again, set OPENAI_API_KEY or OPENAI_BASE_URL for a real model, or in a "
            "test have it say something (desk.says)"
        )
    replies = _replies(file, brief.agent)
    turn = 1 + sum(isinstance(message, AssistantMessage) for message in messages)
    try:
        reply, names = _next(replies, brief, messages)
        message = _spoken(reply, names, turn, brief)
    except (ExpressionFailed, UnclosedExpression) as error:
        raise ModelFailed(f"{file}: agents.{brief.agent}, turn {turn}: {error}; {WAY_OUT}") from error
    return ModelReply(
        message=message,
        finish="tool_calls" if message.tool_calls else "stop",
        model=MODEL_NAME,
        usage=Usage(calls=1, rehearsed=1),
        rehearsal=True,
    )


def _replies(file: Path, agent: str) -> tuple[Reply, ...]:
    try:
        script = Script.model_validate(yaml.safe_load(file.read_text()) or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ModelFailed(f"{file} cannot be read: {error}; {WAY_OUT}") from error
    if agent not in script.agents:
        known = ", ".join(script.agents) or "none"
        raise ModelFailed(f"{file} has no replies for agent {agent} (there are: {known}); {WAY_OUT}")
    return script.agents[agent]


def _next(replies: Sequence[Reply], brief: Brief, messages: Sequence[Message]) -> tuple[Reply, dict[str, Any]]:
    """The reply to come, and the names its expressions see; found by going through the turns so far as they were."""
    names: dict[str, Any] = {"context": brief.context or {}, "task": brief.task, "results": [], "turn": 1}
    position = -1
    for message in messages:
        if isinstance(message, ToolMessage):
            names["results"] = [*names["results"], _result(message)]
        elif isinstance(message, AssistantMessage):
            position = _holding(replies, position + 1, names)
            names["turn"] += 1
    return replies[_holding(replies, position + 1, names)], names


def _holding(replies: Sequence[Reply], start: int, names: dict[str, Any]) -> int:
    """The first reply from `start` on whose `when` holds, else the last."""
    for position in range(start, len(replies)):
        condition = replies[position].when
        if condition is None or truth(condition, names):
            return position
    return len(replies) - 1


def _spoken(reply: Reply, names: dict[str, Any], turn: int, brief: Brief) -> AssistantMessage:
    if reply.call:
        return AssistantMessage(
            tool_calls=tuple(
                CalledTool(
                    id=f"turn-{turn}-{index}",
                    name=call.tool,
                    arguments=json.dumps(evaluate(call.with_, names), ensure_ascii=False),
                )
                for index, call in enumerate(reply.call, start=1)
            )
        )
    answer = evaluate(reply.answer, names)
    is_text = brief.output is None and isinstance(answer, str)
    return AssistantMessage(content=answer if is_text else json.dumps(answer, ensure_ascii=False))


def _result(message: ToolMessage) -> Json:
    try:
        return json.loads(message.content)
    except ValueError:
        return message.content
