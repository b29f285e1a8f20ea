"""What an agent may still use: the least of its own limits, its goal's and its run's."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import LimitReached
    from contracts.model import Usage
    from contracts.process import Budget, GoalStep, Limits
    from workflows.engine import Engine
    from workflows.plan import Node


def limits_of(engine: Engine, node: Node, own: Limits, bounds: Iterable[timedelta | None] = ()) -> Limits:
    """The limits of an agent that starts now for a node. `bounds`: of its time, besides.

    Raises:
        LimitReached: a goal around it, or the run, has nothing left; the message names the limit to raise.
    """
    least = own.model_dump()
    times = [time for time in (own.time, *bounds) if time is not None]
    for what, budget, used, elapsed in _around(engine, node):
        left: dict[str, float | None] = {
            "turns": None if budget.turns is None else budget.turns - used.calls,
            "tokens": None if budget.tokens is None else budget.tokens - used.tokens,
            "cost": None if budget.cost is None else budget.cost - used.cost,
            "time": None if budget.time is None else (budget.time - elapsed).total_seconds(),
        }
        for name, rest in left.items():
            if rest is not None and rest <= 0:
                raise LimitReached(f"{what} has no {name} left; raise its limits.{name}", {"limit": name})
            if rest is not None and name == "time":
                times.append(timedelta(seconds=rest))
            elif rest is not None:
                least[name] = rest if least[name] is None else min(least[name], rest)
    return Limits(**{**least, "time": min(times) if times else None})


def _around(engine: Engine, node: Node) -> Iterator[tuple[str, Budget, Usage, timedelta]]:
    """Every budget a node is under, with what is used of it."""
    now = workflow.now()
    run = engine.definition.process.limits
    if run.model_fields_set:
        yield "the run", run, engine.usage, now - engine.started
    goal = node if isinstance(node.step, GoalStep) else node.goal()
    while goal is not None:
        if isinstance(goal.step, GoalStep) and goal.step.limits.model_fields_set:
            parts = (goal, *goal.all_inside())
            used = sum((part.record.usage for part in parts if part.record.usage), Usage())
            yield f"goal {goal.id}", goal.step.limits, used, now - (goal.record.started or now)
        goal = goal.goal()
