"""Calls that are no activities: of other agents and of processes, each answered by whoever does the work."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import AgentRequest
    from contracts.base import Json
    from contracts.errors import OutcomeUnknown, StepError, ToolFailed
    from contracts.messages import AssistantMessage, Message, UserMessage
    from contracts.tools import ToolCall, ToolSpec
    from language.expressions import as_text
    from workflows.agent.agent import Agent
    from workflows.agent.delegation import work_of
    from workflows.agent.others import Successor
    from workflows.agent.processes import outcome_of
    from workflows.agent.team import equipped, tools_for_others

TYPED_TASK = "Do your work on the input in the context."
"""The task of an agent that declares what it takes: its arguments say the rest."""
MAX_REMEMBERED = 20
"""Questions and answers that a peer remembers: the first, and the last ones."""


async def answer(agent: Agent, spec: ToolSpec, call: ToolCall) -> Json:
    """The result of a call. Workflows that do the work have the call's key as their id.

    Raises:
        OutcomeUnknown: a write of one who worked for the agent may or may not have happened.
        StepError: there is no result; why.
    """
    name = spec.name.partition(".")[2]
    match spec.via:
        case "agent":
            return await _delegate(agent, name, spec.name, call)
        case "peer":
            return await _ask_peer(agent, name, call)
        case "debate":
            return await _debate(agent, str(call.args["question"]), call.key)
        case "hand_over":
            return _hand_over(agent, call.args)
        case _:
            return await outcome_of(agent, name, call)


async def _delegate(agent: Agent, name: str, tool: str, call: ToolCall) -> Json:
    is_typed = agent.request.team.agents[name].input is not None
    task = TYPED_TASK if is_typed else str(call.args["task"])
    context = call.args if is_typed else call.args.get("context")
    return await work_of(agent, name, child=call.key, tool=tool, task=task, context=context)


async def _ask_peer(agent: Agent, name: str, call: ToolCall) -> Json:
    question = str(call.args["question"])
    async with agent.others.one_at_a_time(name):
        said = agent.others.peers.get(name, ())
        asked = UserMessage(content=question)
        first = said[0] if said else asked
        earlier: tuple[Message, ...] = (*said[1:], asked) if said else ()
        answered = await work_of(agent, name, child=call.key, tool=f"peer.{name}", task=first.content, earlier=earlier)
        said = (*said, asked, AssistantMessage(content=as_text(answered)))
        agent.others.peers[name] = (*said[:2], *said[2:][-2 * (MAX_REMEMBERED - 1) :])
    return answered


async def _debate(agent: Agent, question: str, key: str) -> Json:
    """The positions of every round. Who gives none in a round, is left out of it.

    Raises:
        ToolFailed: nobody gave any.
    """
    terms = agent.request.debate
    if terms is None:
        raise ToolFailed(f"{agent.request.agent} has nobody to debate with")
    rounds: list[dict[str, Json]] = []
    failed: dict[str, str] = {}
    positions: dict[str, Json] = {}

    async def take_position(name: str, number: int) -> Json:
        seen: dict[str, Json] = {"round": number, "of": terms.rounds}
        if positions:
            seen["your_position"] = positions.get(name)
            seen["others"] = {other: position for other, position in positions.items() if other != name}
        child = f"{key}/{number}/{name}"
        return await work_of(agent, name, child=child, tool=f"debate.{name}", task=question, context=seen)

    for number in range(1, terms.rounds + 1):
        answers = await asyncio.gather(*(take_position(name, number) for name in terms.among), return_exceptions=True)
        positions, failed = _sorted_out(dict(zip(terms.among, answers, strict=True)))
        if positions:
            rounds.append(positions)
        if failed or _is_agreed(positions):
            break
    if not rounds:
        raise ToolFailed(f"nobody took a position: {'; '.join(failed.values())}")
    result: dict[str, Json] = {"agreed": not failed and _is_agreed(rounds[-1]), "rounds": rounds}
    return {**result, "failed": failed} if failed else result


def _sorted_out(answers: Mapping[str, Json | BaseException]) -> tuple[dict[str, Json], dict[str, str]]:
    """Positions, and why there is none."""
    failed: dict[str, str] = {}
    positions: dict[str, Json] = {}
    for name, answered in answers.items():
        if isinstance(answered, StepError) and not isinstance(answered, OutcomeUnknown):
            failed[name] = str(answered)
        elif isinstance(answered, BaseException):
            raise answered
        else:
            positions[name] = answered
    return positions, failed


def _is_agreed(positions: Mapping[str, Json]) -> bool:
    return len({json.dumps(position, sort_keys=True) for position in positions.values()}) == 1


# Handing over


def _hand_over(agent: Agent, args: Mapping[str, Json]) -> Json:
    said = agent.conversation.pending[-1].message
    if isinstance(said, AssistantMessage) and len(said.tool_calls) > 1:
        raise ToolFailed(
            "hand_over must be the only call of its turn, since you see no results after it; call it alone"
        )
    agent.others.successor = Successor(str(args["to"]), str(args["reason"]), str(args.get("summary", "")))
    return {"handed_over_to": args["to"]}


def handed_over(agent: Agent) -> AgentRequest | None:
    """The request of the agent that goes on with the task, where it was handed over: in the same workflow, under what
    is left of the same limits, in a conversation of its own."""
    to = agent.others.successor
    if to is None:
        return None
    before = agent.request
    spec = before.team.agents[to.name]
    agent.note("handover", f"{before.agent} handed over to {to.name}: {to.reason}")
    told = before.context if isinstance(before.context, dict) else {"given": before.context}
    hand_over: dict[str, Json] = {"by": before.agent, "reason": to.reason, "summary": to.summary}
    earlier = told.get("handed_over", [])
    allowed, used = agent.allowed, agent.usage
    limits = allowed.model_copy(
        update={
            "turns": min(allowed.turns, used.calls + spec.limits.turns),
            "tokens": _least(allowed.tokens, used.tokens, spec.limits.tokens),
            "cost": _least(allowed.cost, used.cost, spec.limits.cost),
            "time": _sooner(allowed.time, agent.worked(), spec.limits.time),
            "depth": min(allowed.depth, spec.limits.depth),
        }
    )
    request = before.model_copy(
        update={
            "context": {
                **{key: value for key, value in told.items() if value is not None},
                "handed_over": [*(earlier if isinstance(earlier, list) else []), hand_over],
            },
            "output": before.output if before.output is not None else spec.output,
            "limits": limits,
            "handovers": before.handovers + 1,
            "earlier": (),
            # The conversation is the other's own, with all that was measured of it; what was used is the task's, and
            # so is a cheaper model that came in at a limit.
            "snapshot": agent.snapshot().model_copy(
                update={
                    "turns": (),
                    "pending": (),
                    "corrections": 0,
                    "allowed": None,
                    "measured": None,
                    "window": None,
                    "repeats": {},
                    "together": agent.others.state().model_copy(update={"peers": {}}),
                }
            ),
        }
    )
    return equipped(request, to.name, agents=before.team.agents, tools=tools_for_others(before))


def _sooner(limit: timedelta | None, worked: timedelta, own: timedelta | None) -> timedelta | None:
    ends = [end for end in (limit, own and worked + own) if end is not None]
    return min(ends, default=None)


def _least(limit: float | None, used: float, own: float | None) -> float | None:
    if own is None:
        return limit
    return used + own if limit is None else min(limit, used + own)
