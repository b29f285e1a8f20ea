"""Budgets that agents at work share, a goal's and the run's: each has a lease of a part, and asks for more in time.

What is leased counts as used until the agent tells what it used, which it does when it asks for more and when it ends;
so all together never use more than there is, and nobody waits for the whole of another's work.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import LimitReached
    from contracts.leases import Lease, LeaseAnswer, LeaseRequest
    from contracts.model import Usage
    from contracts.names import LEASE_SIGNAL
    from contracts.process import Budget, GoalStep
    from workflows.engine import Engine
    from workflows.plan import Node
    from workflows.shares import Share

LEAST_TOKENS = 500
"""Of a first lease; how much a turn really needs, an agent knows."""

SHARE = 2
"""An agent is leased so much of what is free: one part in this times the agents at work."""


@asynccontextmanager
async def leased(engine: Engine, node: Node) -> AsyncIterator[Lease | None]:
    """The first lease of an agent that works for a node; None where there are no budgets around it.

    Raises:
        LimitReached: a goal around it, or the run, has nothing left; the message names the limit to raise.
    """
    budgets = list(_around(engine, node))
    if not budgets:
        yield None
        return
    share = engine.shares[node] = Share(node, Usage(), Usage())
    try:
        if lacking := await _more(engine, share, budgets, LEAST_TOKENS):
            raise LimitReached(f"{lacking[0]} has no {lacking[1]} left; raise its limits.{lacking[1]}")
        yield _lease(share, budgets)
    finally:
        del engine.shares[node]


async def extend(engine: Engine, request: LeaseRequest) -> None:
    """Answer an agent that asks for more, once there is some, or when there will be none."""
    node = engine.plan.nodes.get(request.step)
    share = engine.shares.get(node) if node is not None else None
    if node is None or share is None or node.record.child != request.child:
        return
    share.used = request.used
    budgets = list(_around(engine, node))
    lacking = await _more(engine, share, budgets, request.tokens)
    if engine.shares.get(node) is not share:
        return  # It has ended meanwhile.
    lease = None if lacking else _lease(share, budgets)
    handle = workflow.get_external_workflow_handle(request.child)
    await handle.signal(LEASE_SIGNAL, LeaseAnswer(id=request.id, lease=lease, lacking=lacking))


async def _more(engine: Engine, share: Share, budgets: "list[_Around]", tokens: int) -> tuple[str, str] | None:
    """Lease more to an agent as soon as something is free; else the budget that has nothing left, and its limit.

    While it waits it holds nothing, so of several that wait there is always one that can be served, or none ever.
    """
    share.leased, share.is_waiting = share.used, True
    try:
        while (lacking := _lacking(engine, budgets, tokens)) is not None:
            budget, limit = lacking
            if limit == "time" or engine.shares.get(share.node) is not share or not budget.may_free(engine):
                return budget.what, limit
            await workflow.wait_condition(lambda: _may_go_on(engine, share, budgets, tokens))
    finally:
        share.is_waiting = False
    free = [budget.left(engine) for budget in budgets]
    parts = SHARE * len({share.node for budget in budgets for share in budget.shares(engine)})

    def part(limit: str, least: float) -> float:
        found = [left[limit] for left in free if limit in left]
        return max(least, min(found) / parts) if found else 0

    share.leased = Usage(
        calls=share.used.calls + ceil(part("turns", 1)),
        input_tokens=share.used.tokens + ceil(part("tokens", tokens)),
        cost=share.used.cost + part("cost", 0),
    )
    return None


def _may_go_on(engine: Engine, share: Share, budgets: "list[_Around]", tokens: int) -> bool:
    """Whether what an agent waits for has come, or never will."""
    lacking = _lacking(engine, budgets, tokens)
    return lacking is None or engine.shares.get(share.node) is not share or not lacking[0].may_free(engine)


def _lease(share: Share, budgets: "list[_Around]") -> Lease:
    def leased(limit: str) -> bool:
        return any(getattr(budget.limits, limit) is not None for budget in budgets)

    ends = [(budget.until, budget.what) for budget in budgets if budget.until is not None]
    until, whose = min(ends, default=(None, budgets[0].what))
    return Lease(
        turns=share.leased.calls if leased("turns") else None,
        tokens=share.leased.tokens if leased("tokens") else None,
        cost=share.leased.cost if leased("cost") else None,
        until=until,
        of=whose,
    )


@dataclass(frozen=True)
class _Around:
    """A budget that an agent is under: the run's, or that of a goal. `began`: when its time did."""

    what: str
    limits: Budget
    goal: Node | None
    began: datetime

    @property
    def until(self) -> datetime | None:
        return None if self.limits.time is None else self.began + self.limits.time

    def left(self, engine: Engine) -> dict[str, float]:
        """Of each limit that there is, what is neither used nor leased."""
        used = engine.usage if self.goal is None else _used(self.goal)
        leased = sum((share.leased for share in self.shares(engine)), Usage())
        limits = self.limits
        left: dict[str, float] = {}
        if limits.turns is not None:
            left["turns"] = limits.turns - used.calls - leased.calls
        if limits.tokens is not None:
            left["tokens"] = limits.tokens - used.tokens - leased.tokens
        if limits.cost is not None:
            left["cost"] = limits.cost - used.cost - leased.cost
        return left

    def may_free(self, engine: Engine) -> bool:
        """Whether an agent at work may give back some of what it holds."""
        return any(not share.is_waiting for share in self.shares(engine))

    def shares(self, engine: Engine) -> list[Share]:
        return [share for share in engine.shares.values() if self._holds(share.node)]

    def _holds(self, node: Node) -> bool:
        inside: Node | None = node
        while inside is not None and inside is not self.goal:
            inside = inside.goal()
        return inside is self.goal


def _lacking(engine: Engine, budgets: Iterable[_Around], tokens: int) -> tuple[_Around, str] | None:
    """The budget that has not enough free for one turn, and its limit."""
    for budget in budgets:
        if budget.until is not None and budget.until <= workflow.now():
            return budget, "time"
        for limit, rest in budget.left(engine).items():
            if rest <= 0 or (limit == "tokens" and rest < tokens):
                return budget, limit
    return None


def _used(goal: Node) -> Usage:
    parts = (goal, *goal.all_inside())
    return sum((part.record.usage for part in parts if part.record.usage), Usage())


def _around(engine: Engine, node: Node) -> Iterator[_Around]:
    run = engine.definition.process.limits
    if run.model_fields_set:
        yield _Around("the run", run, None, engine.started)
    goal = node if node.is_goal else node.goal()
    while goal is not None:
        if isinstance(goal.step, GoalStep) and goal.step.limits.model_fields_set:
            yield _Around(f"goal {goal.id}", goal.step.limits, goal, goal.record.started or workflow.now())
        goal = goal.goal()
