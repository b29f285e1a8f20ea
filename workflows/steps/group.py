"""Steps that hold others: groups, the items of a `for_each`, the rounds of a `repeat`."""

import asyncio
from datetime import timedelta
from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import CriteriaNotMet, StepError
    from contracts.model import Usage
    from contracts.process import GroupStep, Repeat
    from language.expressions import as_text
    from workflows.calls import summary
    from workflows.engine import Engine
    from workflows.nodes import Node, Scope
    from workflows.steps.common import add_notes, deadline_of

MAX_ITEMS = 10_000
"""Items of one `for_each`."""

ROUNDS_AT_ONCE = 200
"""Rounds that wait for nothing are cut into workflow tasks of so many, each of which must take less than 2 s."""


async def run_group(engine: Engine, node: Node) -> Json:
    step = cast(GroupStep, node.step)
    scope = node.inner or engine.plan.open_steps(node, step.steps)
    await run_scope(engine, node, scope)
    return {name: inner.record.output for name, inner in scope.nodes.items()}


async def run_scope(engine: Engine, node: Node, scope: Scope) -> None:
    """Run the steps of a scope until all have settled.

    Raises:
        StepError: the deadline of its owner passed, or a part failed that its owner is to deal with.
    """
    node.update(status="running", started=node.record.started or workflow.now())
    engine.begin(scope)
    engine.touch()
    try:
        async with deadline_of(node):
            await scope.until_settled()
    except StepError:
        await engine.halt(scope)
        raise
    await engine.inside(scope)


async def run_items(engine: Engine, node: Node) -> Json:
    items = node.record.input
    if items is None:
        written = node.step.for_each
        items = engine.evaluate(node, list(written) if isinstance(written, tuple) else written)
        if not isinstance(items, list):
            raise StepError(f"for_each needs a list; {written} gives {as_text(items)[:200]}")
        if len(items) > MAX_ITEMS:
            raise StepError(f"for_each over {len(items)} items; at most {MAX_ITEMS} are run, split the list")
    node.update(status="running", input=items, started=node.record.started or workflow.now())
    engine.touch()
    scope = node.inner or engine.plan.open_items(node, items)
    scope.recount()
    gate = asyncio.Semaphore(node.step.parallel or max(1, len(items)))

    async def run_item(item: Node) -> None:
        async with gate:
            if engine.ending is None:  # Otherwise what waits for the items is interrupted.
                await engine.perform(item)

    for item in scope.nodes.values():
        if not item.is_settled:
            engine.spawn(item, run_item(item))
    await engine.inside(scope)
    return [item.record.output for item in scope.nodes.values()]


async def run_rounds(engine: Engine, node: Node) -> Json:
    """Round after round, until the condition holds of the last one's output."""
    repeat = cast(Repeat, node.step.repeat)
    node.update(status="running", rounds=node.record.rounds or 1, started=node.record.started or workflow.now())
    while True:  # until the condition or `max`
        await _pause(engine, node)
        if engine.ending is not None:
            await asyncio.Event().wait()  # The run stops, which interrupts this.
        round_node = engine.plan.open_round(node, node.record.rounds)
        if not round_node.is_settled:
            engine.spawn(round_node, engine.perform(round_node))
            await engine.inside(round_node.holder)
        output = round_node.record.output
        if engine.holds(node, repeat.until, output=output):
            return output
        if node.record.rounds >= repeat.max:
            raise CriteriaNotMet(f"{repeat.until} did not hold in {repeat.max} rounds", {"output": output})
        parts = (round_node, *round_node.all_inside())
        if not any(part.has_effect or part.was_changed for part in parts):
            used = (part.record.usage for part in parts if part.record.usage)
            node.update(usage=sum(used, node.record.usage or Usage()))
            add_notes(node, (note for part in parts for note in part.record.notes))
            engine.plan.forget(round_node)
        until = workflow.now() + repeat.every if repeat.every else None
        node.update(rounds=node.record.rounds + 1, until=until)
        engine.touch()


async def _pause(engine: Engine, node: Node) -> None:
    until, number = node.record.until, node.record.rounds
    if until is None:
        if number % ROUNDS_AT_ONCE == 0:
            await workflow.sleep(timedelta(milliseconds=1), summary=summary(f"{node.id}: after {number - 1} rounds"))
        return
    engine.await_outside(node)
    await workflow.sleep(max(until - workflow.now(), timedelta(0)), summary=summary(f"{node.id}: until round {number}"))
    engine.leave(node)
    node.update(status="running", until=None)
