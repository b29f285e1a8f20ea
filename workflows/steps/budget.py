"""Budgets that agents at work share, a goal's and the run's: each has a lease of a part, and asks for more in time.

What is leased counts as used until the agent tells what it used, which it does when it asks for more and when it ends;
so all together never use more than there is, and nobody waits for the whole of another's work.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.agent import Note
    from contracts.base import Json
    from contracts.errors import LimitReached
    from contracts.leases import Lease, LeaseAnswer, LeaseRequest
    from contracts.model import Usage
    from contracts.names import LEASE_SIGNAL
    from contracts.process import Budget, GoalStep
    from workflows.agent.limits import WARN_AT
    from workflows.engine import Engine
    from workflows.messages import readable
    from workflows.nodes import Node
    from workflows.shares import Share, lacking, left, lend
    from workflows.signals import tell
    from workflows.steps.common import add_notes

THE_RUN = "the run"
LEAST_TOKENS = 500
"""Of a first lease; how much a turn really needs, an agent knows."""


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
    share = engine.shares[node] = Share()
    try:
        if missing := await _more(engine, node, share, budgets, tokens=LEAST_TOKENS):
            _note_used_up(engine, node, *missing)
            raise LimitReached(f"{missing[0]} has no {missing[1]} left; raise its limits.{missing[1]}")
        yield _lease(share, budgets)
    finally:
        del engine.shares[node]


def settle(engine: Engine, node: Node) -> None:
    """What the agent of a node used is in its record now, and it holds nothing more."""
    if node in engine.shares:
        engine.shares[node] = Share()
        _warn(engine, node, _around(engine, node))


async def take(engine: Engine, payload: tuple[Json, ...]) -> None:
    """What an agent signals. What cannot be read, no agent has sent, and nobody waits for."""
    if (request := readable(LeaseRequest, payload)) is not None:
        await _extend(engine, request)


async def _extend(engine: Engine, request: LeaseRequest) -> None:
    """Answer an agent that asks for more, once there is some, or when there will be none."""
    node = engine.plan.nodes.get(request.step)
    share = engine.shares.get(node) if node is not None else None
    if node is None or share is None or node.record.child != request.child:
        return
    share.used = request.used
    budgets = list(_around(engine, node))
    _warn(engine, node, budgets)
    missing = await _more(engine, node, share, budgets, tokens=request.tokens, cost=request.cost)
    if engine.shares.get(node) is not share:
        return
    if missing:
        _note_used_up(engine, node, *missing)
    lease = None if missing else _lease(share, budgets)
    handle = workflow.get_external_workflow_handle(request.child)
    try:
        await tell(handle, LEASE_SIGNAL, LeaseAnswer(id=request.id, lease=lease, lacking=missing))
    except ApplicationError:
        workflow.logger.warning("%s has ended before it was given more", request.child)


def _warn(engine: Engine, node: Node, budgets: "Iterable[_Around]") -> None:
    """Note once of each budget that most of it is used, in the record of the step whose agent used it."""
    for budget in budgets:
        for limit, used, of in budget.used(engine) if budget.is_declared else ():
            key = f"{budget.what}.{limit}"
            if key not in engine.warned and used >= WARN_AT * of:
                engine.warned.add(key)
                text = f"{budget.what} has used {used / of:.0%} of its limit of {limit} ({of:g})"
                add_notes(node, [Note(at=workflow.now(), kind="warning", text=text)])
                engine.record.add(
                    "budget.warned", step=node.id, reason=text, budget=budget.what, limit=limit, used=used, of=of
                )


def _note_used_up(engine: Engine, node: Node, budget: str, limit: str) -> None:
    reason = f"{budget} has no {limit} left"
    engine.record.add("budget.used_up", step=node.id, reason=reason, budget=budget, limit=limit)


async def _more(
    engine: Engine, node: Node, share: Share, budgets: "list[_Around]", *, tokens: int, cost: float = 0.0
) -> tuple[str, str] | None:
    """Lease more to an agent as soon as something is free; else the budget that has nothing left, and its limit. One
    that ends meanwhile is lent nothing.

    While it waits it holds nothing, so of several that wait there is always one that can be served, or none ever.
    """
    share.leased, share.is_waiting = share.used, True
    try:
        while (missing := _lacking(engine, budgets, tokens, cost)) is not None:
            budget, limit = missing
            if limit == "time" or engine.shares.get(node) is not share or not budget.may_free(engine):
                return budget.what, limit
            await waiting.until(lambda: _may_go_on(engine, node, share, budgets, tokens, cost))
    finally:
        share.is_waiting = False
    if engine.shares.get(node) is not share:
        return None
    among = {other for budget in budgets for other in budget.shares(engine)}
    lend(share, [budget.left(engine) for budget in budgets], len(among), tokens, cost)
    return None


def _may_go_on(engine: Engine, node: Node, share: Share, budgets: "list[_Around]", tokens: int, cost: float) -> bool:
    """Whether what an agent waits for has come, or never will."""
    missing = _lacking(engine, budgets, tokens, cost)
    return missing is None or engine.shares.get(node) is not share or not missing[0].may_free(engine)


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

    @property
    def is_declared(self) -> bool:
        """Whether it is in the process file; what an agent gave to a run, that agent looks after."""
        return self.goal is not None or self.what == THE_RUN

    def left(self, engine: Engine) -> dict[str, float]:
        """Of each limit that there is, what is neither used nor leased."""
        return left(self.limits, self._ended(engine), self.shares(engine).values())

    def used(self, engine: Engine) -> list[tuple[str, float, float]]:
        """Of each limit that there is: its name, what is used as far as agents at work told, how much there is; time in
        seconds."""
        used = sum((share.used for share in self.shares(engine).values()), self._ended(engine))
        time = self.limits.time.total_seconds() if self.limits.time is not None else None
        passed = (workflow.now() - self.began).total_seconds()
        found = [
            ("turns", used.calls, self.limits.turns),
            ("tokens", used.tokens, self.limits.tokens),
            ("cost", used.cost, self.limits.cost),
            ("time", passed, time),
        ]
        return [(limit, amount, of) for limit, amount, of in found if of is not None]

    def _ended(self, engine: Engine) -> Usage:
        """What agents used that have ended."""
        return engine.usage if self.goal is None else _used(self.goal)

    def may_free(self, engine: Engine) -> bool:
        """Whether an agent at work may give back some of what it holds."""
        return any(not share.is_waiting for share in self.shares(engine).values())

    def shares(self, engine: Engine) -> dict[Node, Share]:
        return {node: share for node, share in engine.shares.items() if self._holds(node)}

    def _holds(self, node: Node) -> bool:
        inside: Node | None = node
        while inside is not None and inside is not self.goal:
            inside = inside.goal()
        return inside is self.goal


def _lacking(engine: Engine, budgets: Iterable[_Around], tokens: int, cost: float) -> tuple[_Around, str] | None:
    """The budget that has not enough free for one turn, and its limit."""
    for budget in budgets:
        if budget.until is not None and budget.until <= workflow.now():
            return budget, "time"
        if limit := lacking(budget.left(engine), tokens, cost):
            return budget, limit
    return None


def _used(goal: Node) -> Usage:
    parts = (goal, *goal.all_inside())
    return sum((part.record.usage for part in parts if part.record.usage), Usage())


def _around(engine: Engine, node: Node) -> Iterator[_Around]:
    run = engine.definition.process.limits
    if run.model_fields_set:
        yield _Around(THE_RUN, run, None, engine.started)
    if engine.request.granted.model_dump(exclude_none=True):
        yield _Around("the agent that called this run", engine.request.granted, None, engine.started)
    goal = node if node.is_goal else node.goal()
    while goal is not None:
        if isinstance(goal.step, GoalStep) and goal.step.limits.model_fields_set:
            yield _Around(f"goal {goal.id}", goal.step.limits, goal, goal.record.started or workflow.now())
        goal = goal.goal()
