"""What an agent gives to those who work for it, out of what it has left: held while they work, settled after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.agent.leases as leases
    import workflows.waiting as waiting
    from contracts.errors import LimitReached
    from contracts.process import Budget
    from workflows.agent.agent import Agent


@asynccontextmanager
async def shared(agent: Agent, child: str, own: Budget) -> AsyncIterator[Budget]:
    """The limits of one who works for an agent: the least of its own and an equal share of what is left among those
    who ask at the same time. One for whom nothing is left waits until others give back what they did not use.

    Raises:
        LimitReached: nothing is left, and nobody will give anything back.
    """
    others = agent.others
    others.asking += 1
    try:
        await asyncio.sleep(0)  # All who ask in one turn are counted before the first is granted its share.
        async with others.lending:
            await waiting.until(lambda: not others.held or _lacking(agent) is None)
            if not others.held:
                await leases.lengthen(agent)
            if lacking := _lacking(agent):
                name = agent.request.agent
                raise LimitReached(f"{name} has no {lacking} left to give; raise agents.{name}.limits.{lacking}")
            granted = _share(agent, own, others.asking)
            others.held[child] = granted
    finally:
        others.asking -= 1
    try:
        yield granted
    finally:
        del others.held[child]


def _left(agent: Agent) -> dict[str, float]:
    """Of each limit that there is, what is neither used nor held. One turn is kept for what the agent says next."""
    committed = agent.usage + agent.others.all_held
    used = {"turns": committed.calls + 1, "tokens": committed.tokens, "cost": committed.cost}
    left: dict[str, float] = {}
    for name, amount in used.items():
        limits = [getattr(bound, name) for bound in (agent.allowed, agent.lease) if bound is not None]
        if (least := min((limit for limit in limits if limit is not None), default=None)) is not None:
            left[name] = least - amount
    return left


def _lacking(agent: Agent) -> str | None:
    """The limit of which nothing can be given now."""
    time = agent.time_left()
    if time is not None and time <= timedelta(0):
        return "time"
    return next((name for name, rest in _left(agent).items() if rest <= 0), None)


def _share(agent: Agent, own: Budget, among: int) -> Budget:
    left = _left(agent)
    share: dict[str, float] = {}
    for name in ("turns", "tokens"):
        if name in left:
            share[name] = max(1, int(left[name]) // among)
    if "cost" in left:
        share["cost"] = left["cost"] / among
    limits = {name: min(value, getattr(own, name) or value) for name, value in share.items()}
    times = [time for time in (own.time, agent.time_left()) if time is not None]
    return own.model_copy(update={**limits, "time": min(times) if times else None})
