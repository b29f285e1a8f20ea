"""The tool calls of one turn: reads side by side, writes one after the other in the model's order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from pydantic_core import from_json, to_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import OutcomeUnknown, StepError
    from contracts.messages import CalledTool, ToolMessage, tool_error_message, tool_message
    from contracts.tools import ToolCall, ToolSpec
    from workflows.agent.agent import Agent
    from workflows.agent.together import answer as answer_together
    from workflows.calls import Call, call_tool


@dataclass(frozen=True)
class Prepared:
    """A call that may be made: of a granted tool, with arguments that are an object."""

    spec: ToolSpec
    call: ToolCall
    activity_id: str
    asked: CalledTool


async def call_tools(agent: Agent, calls: Sequence[CalledTool]) -> None:
    """Make the calls of a turn, and add their results to the conversation in the model's order.

    Raises:
        OutcomeUnknown: a write may or may not have happened, and may not be made again.
    """
    agent.last = f"turn {agent.turn}: {', '.join(call.name for call in calls)}"
    prepared = [_prepare(agent, call, number) for number, call in enumerate(calls, start=1)]
    answers: dict[int, tuple[ToolMessage, bool]] = {}

    async def answer(number: int) -> None:
        answers[number] = await _answer(agent, calls[number], prepared[number])

    async def write_in_order() -> None:
        for number, plan in enumerate(prepared):
            if isinstance(plan, Prepared) and plan.spec.effect == "write":
                await answer(number)

    reads = [
        answer(number) for number, plan in enumerate(prepared) if isinstance(plan, str) or plan.spec.effect == "read"
    ]
    # Every call is waited for before a failure is raised: an effect on its way is never abandoned.
    ended = await asyncio.gather(*reads, write_in_order(), return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException):
            raise error
    for number in range(len(calls)):
        message, stored = answers[number]
        agent.conversation.add(message, stored=stored)


def _prepare(agent: Agent, call: CalledTool, number: int) -> Prepared | str:
    """The call that the model asked for, or why there is none, for the model to read."""
    spec = agent.request.tools.get(call.name)
    if spec is None:
        granted = ", ".join(agent.request.tools) or "none"
        return f"{call.name} is not one of your tools. Your tools: {granted}"
    try:
        args = from_json(call.arguments or "{}")
    except ValueError as error:
        return f"the arguments are not JSON: {error}"
    if not isinstance(args, dict):
        return "the arguments must be a JSON object"
    agent.tool_calls += 1
    key = _key(agent, spec, args)
    tool_call = ToolCall(args=args, key=key, run=agent.request.run, step=agent.request.step, call_id=call.id)
    return Prepared(spec, tool_call, f"{agent.turn}.{number}-{spec.name}", call)


def _key(agent: Agent, spec: ToolSpec, args: dict[str, Json]) -> str:
    """By content and occurrence: an agent that is started afresh by a repair and makes the same calls repeats no
    effect, while two calls alike in one conversation are two effects."""
    content = sha256(to_json([spec.name, sorted(args.items())])).hexdigest()[:16]
    occurrence = agent.calls_by_content[content] = agent.calls_by_content.get(content, 0) + 1
    return f"{workflow.info().workflow_id}/{spec.name}/{content}/{occurrence}"


async def _answer(agent: Agent, asked: CalledTool, plan: Prepared | str) -> tuple[ToolMessage, bool]:
    """The message for the model, and whether the activity has put it where model calls look."""
    if isinstance(plan, str):
        return tool_error_message(asked.id, plan), False
    try:
        if plan.spec.via != "tool":
            return tool_message(asked.id, await answer_together(agent, plan.spec, plan.call)), False
        text = f"{plan.spec.name} {asked.arguments}"
        result = await call_tool(plan.spec, plan.call, Call(plan.activity_id, text, priority=agent.request.priority))
    except OutcomeUnknown:
        raise
    except StepError as error:
        return tool_error_message(asked.id, str(error)), False
    return tool_message(asked.id, result.output), True
