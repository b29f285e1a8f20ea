"""An agent's part of the budgets that it shares: it works on a lease, and asks its run for more before that is used up.

While it waits it holds nothing, so that those who wait for each other cannot hold each other up.
"""

from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.errors import LimitReached
    from contracts.leases import Lease, LeaseAnswer, LeaseRequest
    from contracts.model import LEAST_ANSWER
    from contracts.names import LEASE_SIGNAL
    from workflows.agent.agent import Agent
    from workflows.agent.limits import MOST_ANSWER, Reservation, estimate, last_said
    from workflows.signals import tell

T = TypeVar("T", int, float)

EASY_ANSWER = 2_048
"""Output tokens for which a lease should have room. One with less is asked to be longer before the call."""


async def within(agent: Agent, reservation: Reservation) -> Reservation:
    """A reservation as far as the agent's lease allows it, once that is long enough.

    Raises:
        LimitReached: the budgets around it have no more; the message names the limit to raise.
    """
    lease, sent = agent.lease, estimate(agent)
    if lease is None:
        return reservation
    if lease.until is not None and lease.until <= workflow.now():
        raise _stopped(agent, lease.of, "time")
    if not _suffices(agent, lease, sent + EASY_ANSWER):
        lease = await _longer(agent, sent + LEAST_ANSWER)
    tokens = None if lease.tokens is None else lease.tokens - agent.usage.tokens
    cost = None if lease.cost is None else lease.cost - agent.usage.cost
    if tokens is None and cost is None:
        return reservation
    return Reservation(
        sent,
        reservation.max_output_tokens or MOST_ANSWER,
        _least(reservation.max_tokens, tokens),
        _least(reservation.max_cost, cost),
    )


def _least(one: T | None, other: T | None) -> T | None:
    return min((each for each in (one, other) if each is not None), default=None)


def is_shorter(agent: Agent, limit: str) -> bool:
    """Whether it is the lease, and no limit of the agent's own, that leaves no room."""
    leased = getattr(agent.lease, limit, None)
    own = getattr(agent.allowed, limit)
    return leased is not None and (own is None or leased < own)


async def lengthen(agent: Agent, cost: float = 0.0) -> None:
    """Ask for more: for those who are to work for the agent, or for a call of this price.

    Raises:
        LimitReached: there is no more.
    """
    if agent.lease is not None:
        await _longer(agent, LEAST_ANSWER, cost)


def take(agent: Agent, answer: LeaseAnswer) -> None:
    agent.leases[answer.id] = answer


def _suffices(agent: Agent, lease: Lease, tokens: int) -> bool:
    used = agent.usage
    return (
        (lease.turns is None or used.calls < lease.turns)
        and (lease.tokens is None or used.tokens + tokens <= lease.tokens)
        and (lease.cost is None or used.cost < lease.cost)
    )


async def _longer(agent: Agent, tokens: int, cost: float = 0.0) -> Lease:
    """Raises:
    LimitReached: there is no more.
    """
    agent.lease_requests += 1
    number = agent.lease_requests
    request = LeaseRequest(
        id=number,
        step=agent.request.step,
        child=workflow.info().workflow_id,
        used=agent.usage + agent.others.all_held,
        tokens=tokens,
        cost=cost,
    )
    run = workflow.get_external_workflow_handle(agent.request.run)
    agent.last = "waits for more of what it shares with others"
    await tell(run, LEASE_SIGNAL, request)
    await waiting.until(lambda: number in agent.leases)
    answer = agent.leases.pop(number)
    if answer.lease is None:
        whose, limit = answer.lacking or ("the run", "tokens")
        raise _stopped(agent, whose, limit)
    agent.lease = answer.lease
    return answer.lease


def _stopped(agent: Agent, whose: str, limit: str) -> LimitReached:
    used = f"{whose} has no {limit} left"
    detail = {"limit": limit, "of": whose, "turns": agent.turn, "so_far": last_said(agent)}
    return LimitReached(f"{agent.request.agent} stopped: {used}; raise its limits.{limit}", detail)
