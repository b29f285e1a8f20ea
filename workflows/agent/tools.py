"""The tool calls of one turn: reads side by side, writes one after the other in the model's order."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.activities import KEEP_RESULT, KeepResult
    from contracts.base import Json
    from contracts.errors import OutcomeUnknown, StepError
    from contracts.messages import CalledTool, ToolMessage, json_text, part_message, tool_error_message, tool_message
    from contracts.results import SHOWN_WHOLE
    from contracts.state import BUILT_IN, is_state_tainted
    from contracts.tools import ToolCall, ToolResult, ToolSpec
    from workflows.agent.agent import Agent
    from workflows.agent.approving import Agreed, agree
    from workflows.agent.granting import NotGranted, Wanted, tool_call, wanted
    from workflows.agent.together import answer as answer_together
    from workflows.calls import Call, call_engine, call_tool

MAX_PARTS = 500
"""Large results that an agent can read on in, the last ones."""

MAX_CALLS = 500
"""Calls in one turn of one agent. The server fails a workflow task that would make it 2,000 at once in a run, which
would hang."""

Told = tuple[ToolMessage, bool]
"""The message for the model, and whether an activity has put it where model calls look."""


async def call_tools(agent: Agent, calls: Sequence[CalledTool]) -> None:
    """Make the calls of a turn, and add their results to the conversation in the model's order.

    Raises:
        OutcomeUnknown: a write may or may not have happened, and may not be made again.
    """
    agent.last = f"turn {agent.turn}: {', '.join(call.name for call in calls)}"
    turn = _Turn(agent, calls)
    began, waited = workflow.now(), agent.waited
    try:
        # Every call is waited for before a failure is raised: an effect on its way is never abandoned.
        ended = await asyncio.gather(*turn.reads(), turn.write_in_order(), return_exceptions=True)
    finally:
        turn.stop_asking()
        # Those who waited for people at the same time waited once.
        agent.waited = min(agent.waited, waited + (workflow.now() - began))
    for error in ended:
        if isinstance(error, BaseException):
            raise error
    for number in range(len(calls)):
        message, stored = turn.told[number]
        agent.conversation.add(message, stored=stored)


class _Turn:
    """`told`: what the model is told of each call. `agreements`: of the calls that people are asked about, all at
    once."""

    def __init__(self, agent: Agent, calls: Sequence[CalledTool]) -> None:
        self._agent = agent
        self._wanted: dict[int, Wanted] = {}
        self._agreements: dict[int, asyncio.Task[Agreed]] = {}
        self.told: dict[int, Told] = {}
        for number, call in enumerate(calls):
            try:
                self._wanted[number] = _one_of_the_turn(agent, call, number + 1)
            except NotGranted as refused:
                self._refuse(number, call, refused)
        for number, each in self._wanted.items():
            if each.approval is not None:
                self._agreements[number] = asyncio.create_task(agree(agent, each))

    def reads(self) -> list[Any]:
        return [self._make(number) for number, each in self._wanted.items() if each.spec.effect == "read"]

    async def write_in_order(self) -> None:
        for number, each in self._wanted.items():
            if each.spec.effect == "write":
                await self._make(number)

    def stop_asking(self) -> None:
        for agreement in self._agreements.values():
            agreement.cancel()

    async def _make(self, number: int) -> None:
        each = self._wanted[number]
        try:
            agreed = await self._agreements[number] if number in self._agreements else Agreed(each.args)
            self.told[number] = await _call(self._agent, each, agreed)
        except NotGranted as refused:
            self._refuse(number, each.asked, refused)

    def _refuse(self, number: int, call: CalledTool, refused: NotGranted) -> None:
        if refused.is_attempt:
            self._agent.note("refused", f"{call.name[:100]}: {refused}")
        self.told[number] = (tool_error_message(call.id, str(refused)), False)


def _one_of_the_turn(agent: Agent, call: CalledTool, number: int) -> Wanted:
    """Raises:
    NotGranted: it is not covered by any grant, or one call too many.
    """
    if number > MAX_CALLS:
        why = f"{call.name}: no more than {MAX_CALLS} calls are made in one turn; make it again in the next"
        raise NotGranted(why, is_attempt=False)
    return wanted(agent, call, number)


async def _call(agent: Agent, each: Wanted, agreed: Agreed) -> Told:
    spec, asked = each.spec, each.asked
    text = f"{spec.name} {to_json(agreed.args).decode()}"
    call = Call(each.activity_id, text, priority=agent.request.priority)
    try:
        arguments = tool_call(agent, spec, agreed.args, asked.id)
        if spec.via == "tool":
            result = await _until_it_ended(spec, arguments, call)
        else:
            result = await _kept(agent, await answer_together(agent, spec, arguments), call)
    except OutcomeUnknown:
        raise
    except StepError as error:
        return tool_error_message(asked.id, str(error)), False
    finally:
        if spec.untrusted:  # What it fails with may be from outside too.
            agent.taint(spec.name)
    if is_state_tainted(spec, result.output) or (result.part is not None and spec.name in BUILT_IN):
        agent.taint(f"state.{agreed.args['key']}")
    if result.part is not None:
        agent.parts = (*agent.parts, result.part.digest)[-MAX_PARTS:]
    told = tool_message(asked.id, result.output) if result.part is None else part_message(asked.id, result.part)
    if agreed.edited is None:
        return told, spec.via == "tool"
    edited = {"by": agreed.edited.by, "comment": agreed.edited.comment, "arguments": agreed.args}
    return tool_message(asked.id, {"edited": edited, "output": from_json(told.content)}), False


async def _kept(agent: Agent, output: Json, call: Call) -> ToolResult:
    """What others gave for the agent, a large one put where the results of tools are."""
    if not agent.keeps_large_results or len(json_text(output).encode()) <= SHOWN_WHOLE:
        return ToolResult(output=output)
    keep = Call(f"{call.id}:keep", f"keep what {call.summary} gave"[:200], priority=call.priority)
    kept = await call_engine(KEEP_RESULT, KeepResult(output=output), keep)
    return ToolResult(output=output) if kept.part is None else ToolResult(part=kept.part)


async def _until_it_ended(spec: ToolSpec, arguments: ToolCall, call: Call) -> ToolResult:
    """Call the tool. A write goes on to its end, whoever stops the agent meanwhile: it may have happened."""
    if spec.effect == "read":
        return await call_tool(spec, arguments, call)
    task = asyncio.create_task(call_tool(spec, arguments, call))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
