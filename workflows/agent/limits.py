"""The limits of an agent, checked before every turn."""

from datetime import timedelta
from typing import NoReturn

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import format_duration
    from contracts.errors import LimitReached
    from workflows.agent.agent import Agent


def check_limits(agent: Agent) -> None:
    """Raises:
    LimitReached: turns, tokens, cost or time are used up; the message names the limit to raise.
    """
    limits, usage = agent.request.limits, agent.usage
    turns = agent.turn + agent.others.turns
    if turns >= limits.turns:
        _stop(agent, f"{turns} turns used of {limits.turns}", "turns")
    if limits.tokens is not None and usage.tokens >= limits.tokens:
        _stop(agent, f"{usage.tokens} tokens used of {limits.tokens}", "tokens")
    if limits.cost is not None and usage.cost >= limits.cost:
        _stop(agent, f"{usage.cost:.4f} USD used of {limits.cost}", "cost")
    left = agent.time_left()
    if limits.time is not None and left is not None and left <= timedelta(0):
        _stop(agent, f"its time of {format_duration(limits.time)} is over", "time")


def _stop(agent: Agent, used: str, limit: str) -> NoReturn:
    name = agent.request.agent
    raise LimitReached(f"{name} stopped at its limit: {used}; raise agents.{name}.limits.{limit}", {"limit": limit})
