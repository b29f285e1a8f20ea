"""Runs many plans at once, and makes the first that disagrees as small as it can be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import HypothesisException

from tests.properties.judge import disagreements
from tests.properties.plans import Plan, plans
from tests.properties.rig import Rig

SHRINKS = 100
"""Plans that are run to make a counterexample small."""


class _DisagreesError(AssertionError):
    """Tells Hypothesis that a plan is a counterexample."""


async def counterexample(rig: Rig, *, seed: int, count: int) -> str | None:
    """The smallest plan found on which engine and format page disagree, and in what; None when they agree on all.

    Hypothesis makes the plans one after another, and the server runs them all at once. To shrink one, Hypothesis makes
    the same plans again, this time running only what it tries from there on.
    """
    made = drawn(seed, count)
    found = await results(rig, made)
    failed = next((plan for plan, wrong in zip(made, found, strict=True) if wrong), None)
    if failed is None:
        return None
    loop = asyncio.get_running_loop()

    def run(plan: Plan) -> list[str]:
        return asyncio.run_coroutine_threadsafe(_try(rig, plan), loop).result()

    smallest = await asyncio.to_thread(_shrunk, failed, seed, count, run)
    wrong = await _try(rig, smallest) or ["(only now and then: it did agree when it was run once more)"]
    lines = [f"seed {seed}, one of {sum(map(bool, found))} plans in {count}:", str(smallest)]
    return "\n".join([*lines, *(f"- {line}" for line in wrong)])


async def results(rig: Rig, made: list[Plan]) -> list[list[str]]:
    """In what engine and format page disagree on each plan."""
    return await asyncio.gather(*(_try(rig, plan) for plan in made))


def drawn(seed: int, count: int) -> list[Plan]:
    made: list[Plan] = []
    _each(made.append, seed, count, shrink=False)
    return made


async def _try(rig: Rig, plan: Plan) -> list[str]:
    return disagreements(await rig.perform(plan))


def _shrunk(failed: Plan, seed: int, count: int, run: Callable[[Plan], list[str]]) -> Plan:
    smallest: Plan | None = None
    tried = 0

    def attempt(plan: Plan) -> None:
        nonlocal smallest, tried
        if smallest is None and plan != failed:
            return
        tried += 1
        is_smaller = plan != smallest and tried <= SHRINKS and bool(run(plan))
        if is_smaller:
            smallest = plan
        if plan == smallest:  # Raised in one place: Hypothesis takes another place for another bug.
            raise _DisagreesError

    with suppress(_DisagreesError, HypothesisException):
        _each(attempt, seed, count, shrink=True)
    return smallest or failed


def _each(use: Callable[[Plan], None], seed: int, count: int, *, shrink: bool) -> None:
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

    @seeded(seed)
    @settings(
        max_examples=count,
        phases=phases,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(plans())
    def used(plan: Plan) -> None:
        use(plan)

    used()
