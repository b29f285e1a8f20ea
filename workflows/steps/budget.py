"""What an agent may still use: the least of its own limits, its goal's and its run's, held for it while it works."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import LimitReached
    from contracts.model import Usage
    from contracts.process import Budget, GoalStep, Limits
    from workflows.engine import Engine
    from workflows.plan import Node


@asynccontextmanager
async def granted_limits(
    engine: Engine, node: Node, own: Limits, bounds: Iterable[timedelta | None] = ()
) -> AsyncIterator[Limits]:
    """The limits of an agent that works for a node. What it is granted no other agent gets meanwhile: one for which
    nothing is left waits until others give back what they did not use. `bounds`: of its time, besides.

    Raises:
        LimitReached: a goal around it, or the run, has nothing left; the message names the limit to raise.
    """
    times = [time for time in (own.time, *bounds) if time is not None]
    budgets = list(_around(engine, node))
    while budgets and not _exhausted(engine, budgets) and not _is_free(engine, budgets):
        # Of several that wait, the first takes what was given back.
        await workflow.wait_condition(lambda: _exhausted(engine, budgets) is not None or _is_free(engine, budgets))
    if exhausted := _exhausted(engine, budgets):
        raise LimitReached(f"{exhausted[0]} has no {exhausted[1]} left; raise its limits.{exhausted[1]}")
    grant = own.model_dump()
    for budget in budgets:
        for name, rest in budget.left(engine, free=True).items():
            grant[name] = rest if grant[name] is None else min(grant[name], rest)
        if budget.limits.time is not None:
            times.append(budget.limits.time - budget.elapsed(engine))
    limits = Limits(**{**grant, "time": min(times) if times else None})
    engine.grants[node] = limits
    try:
        yield limits
    finally:
        del engine.grants[node]


@dataclass(frozen=True)
class _Around:
    """A budget that an agent is under: the run's, or that of a goal."""

    what: str
    limits: Budget
    goal: Node | None

    def elapsed(self, engine: Engine) -> timedelta:
        began = engine.started if self.goal is None else self.goal.record.started
        return workflow.now() - (began or workflow.now())

    def left(self, engine: Engine, *, free: bool) -> dict[str, float]:
        """Of each limit that there is, what is not used; with `free`, nor held by agents at work."""
        used = engine.usage if self.goal is None else _used(self.goal)
        held = [grant for node, grant in engine.grants.items() if free and self._holds(node)]
        left: dict[str, float] = {}
        if self.limits.turns is not None:
            left["turns"] = self.limits.turns - used.calls - sum(grant.turns for grant in held)
        if self.limits.tokens is not None:
            left["tokens"] = self.limits.tokens - used.tokens - sum(grant.tokens or 0 for grant in held)
        if self.limits.cost is not None:
            left["cost"] = self.limits.cost - used.cost - sum(grant.cost or 0 for grant in held)
        return left

    def _holds(self, node: Node) -> bool:
        inside: Node | None = node
        while inside is not None and inside is not self.goal:
            inside = inside.goal()
        return inside is self.goal


def _exhausted(engine: Engine, budgets: Iterable[_Around]) -> tuple[str, str] | None:
    """The budget that is used up, and its limit."""
    for budget in budgets:
        if budget.limits.time is not None and budget.elapsed(engine) >= budget.limits.time:
            return budget.what, "time"
        for name, rest in budget.left(engine, free=False).items():
            if rest <= 0:
                return budget.what, name
    return None


def _is_free(engine: Engine, budgets: Iterable[_Around]) -> bool:
    return all(rest > 0 for budget in budgets for rest in budget.left(engine, free=True).values())


def _used(goal: Node) -> Usage:
    parts = (goal, *goal.all_inside())
    return sum((part.record.usage for part in parts if part.record.usage), Usage())


def _around(engine: Engine, node: Node) -> Iterator[_Around]:
    run = engine.definition.process.limits
    if run.model_fields_set:
        yield _Around("the run", run, None)
    if engine.request.granted.model_dump(exclude_none=True):
        yield _Around("the agent that called this run", engine.request.granted, None)
    goal = node if node.is_goal else node.goal()
    while goal is not None:
        if isinstance(goal.step, GoalStep) and goal.step.limits.model_fields_set:
            yield _Around(f"goal {goal.id}", goal.step.limits, goal)
        goal = goal.goal()
