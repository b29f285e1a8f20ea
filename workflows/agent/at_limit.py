"""What becomes of an agent at a limit: it stops, a cheaper model answers for the rest, or people raise the limit."""

from math import ceil

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.agent.leases as leases
    from contracts.process import Budget, CheaperModel, Limits
    from workflows.agent.agent import Agent
    from workflows.agent.limits import Reservation, Shortage, enlarge, reserve

EXTRA = 0.25
"""Of the limits, for the cheaper model to come to an end with."""


async def reserved(agent: Agent, longer: int | None = None) -> Reservation:
    """What the next call may use; longer limits, or a longer lease, where there was no room for it.

    Raises:
        LimitReached: there is none, and nobody gives more.
    """
    while isinstance(found := reserve(agent, longer), Shortage):
        await make_room(agent, found)
    if agent.lease is None:
        return found
    return await leases.within(agent, found)


async def make_room(agent: Agent, short: Shortage) -> None:
    """Raises:
    LimitReached: the policy is to stop, or it gives no more.
    """
    policy = agent.allowed.at_limit
    if isinstance(policy, CheaperModel) and not agent.models and short.limit != "time":
        agent.models = (policy.model,)
        enlarge(agent, _added(agent.allowed, _part(agent.request.limits, EXTRA)))
        agent.note("limit", f"{short.used}; {policy.model} answers from here on, with a quarter of the limits on top")
    else:
        raise short.error(agent)


def _part(limits: Limits, part: float) -> Budget:
    return Budget(
        turns=ceil(limits.turns * part),
        tokens=None if limits.tokens is None else ceil(limits.tokens * part),
        cost=None if limits.cost is None else limits.cost * part,
    )


def _added(limits: Limits, more: Budget) -> Limits:
    """The limits with these on top. What has no limit gets none."""
    changes = {
        name: getattr(limits, name) + extra
        for name in ("turns", "tokens", "cost", "time")
        if (extra := getattr(more, name)) is not None and getattr(limits, name) is not None
    }
    return limits.model_copy(update=changes)
