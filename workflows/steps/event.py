"""Steps that wait for an event, and steps that publish one."""

import asyncio
from datetime import datetime, timedelta
from typing import cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.activities import PUBLISH_EVENT, SUBSCRIBE_STEP
    from contracts.base import Json, format_duration
    from contracts.errors import EventMissed, StepError
    from contracts.events import (
        Awaited,
        PublishEvent,
        Subscription,
        Unsubscribe,
        event_id,
        shards_for,
        topic_workflow_id,
    )
    from contracts.names import UNSUBSCRIBE
    from contracts.process import EmitStep, EventStep
    from language import expressions
    from language.expressions import as_text
    from workflows.calls import Call, call_engine, summary
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.signals import tell
    from workflows.steps.common import arguments, call_of, deadline_of, idempotency_key
    from workflows.taint import is_tainted


async def run_event(engine: Engine, node: Node) -> Json:
    """Until the event has come that is waited for, which an operator may change meanwhile."""
    step = cast(EventStep, node.step)
    while True:
        wanted, subscription = awaited(engine, node), subscription_id(engine, node)
        if node.record.status != "waiting" or node.record.subscribed != node.record.amended:
            until = workflow.now() + wanted.within if wanted.within else None
            amended = node.record.amended
            await _subscribe(engine, node, step, wanted, until)
            engine.await_outside(node, until=until, subscribed=amended)
        else:
            engine.await_outside(node)
        try:
            async with deadline_of(node):
                await _arrival(node, step, wanted)
        except (StepError, asyncio.CancelledError):
            engine.leave(node)
            if engine.ending is None:  # Of a run that ends the topic notices by itself, when it has something for it.
                await _unsubscribe(step.event, subscription, wanted.key)
            raise
        engine.leave(node)
        if node.record.event is None:
            await _unsubscribe(step.event, subscription, wanted.key)
            continue
        if wanted.key is None:  # With a key there is one shard, which has handed over all there was.
            await _unsubscribe(step.event, subscription, wanted.key)
        return node.record.event.data


def awaited(engine: Engine, node: Node) -> Awaited:
    """As the process says, or as an operator amended it.

    Raises:
        ExpressionFailed: the key cannot be told yet.
    """
    step = cast(EventStep, node.step)
    amended = cast(dict[str, Json], node.record.input) if node.record.amended else {}
    key = None if step.key is None or "key" in amended else as_text(engine.evaluate(node, step.key))
    said = Awaited(key=key, match=step.match, within=step.within)
    return Awaited.model_validate({**said.model_dump(mode="json"), **amended})


def subscription_id(engine: Engine, node: Node) -> str:
    """Another one each time that it waits anew, or for something else."""
    record = node.record
    again = (f"~{record.tries}" if record.tries else "") + (f"+{record.amended}" if record.amended else "")
    return f"{engine.run}/{node.id}{again}"


async def _arrival(node: Node, step: EventStep, wanted: Awaited) -> None:
    """Until the event is there, or something else is waited for."""
    until, amended = node.record.until, node.record.amended
    try:
        await waiting.until(
            lambda: node.record.event is not None or node.record.amended != amended,
            within=None if until is None else max(until - workflow.now(), timedelta(0)),
            summary=None if until is None else summary(f"{node.id}: no {step.event} within its time"),
        )
    except TimeoutError as error:
        within = format_duration(wanted.within or timedelta(0))
        raise EventMissed(f"no event {step.event} that matches came within {within}") from error


async def _subscribe(engine: Engine, node: Node, step: EventStep, wanted: Awaited, until: datetime | None) -> None:
    subscription = Subscription(
        id=subscription_id(engine, node),
        topic=step.event,
        key=wanted.key,
        match=wanted.match,
        names=_names_of(engine, node, wanted.match),
        since=min(engine.accepted, workflow.now() - (wanted.within or timedelta(0))),
        until=until,
        run=engine.run,
        step=node.id,
    )
    call = Call(f"{node.id}:subscribe", f"{node.id}: wait for {step.event}", priority=engine.request.priority)
    async with engine.working(node):
        await call_engine(SUBSCRIBE_STEP, subscription, call)


async def _unsubscribe(topic: str, subscription: str, key: str | None) -> None:
    for shard in shards_for(key):
        try:
            handle = workflow.get_external_workflow_handle(topic_workflow_id(topic, shard))
            await tell(handle, UNSUBSCRIBE, Unsubscribe(id=subscription))
        except ApplicationError:
            pass  # the shard has ended, and its subscriptions with it


def _names_of(engine: Engine, node: Node, match: str | None) -> dict[str, Json]:
    """The values that a match compares with, as they are now, so that the topic can tell for itself."""
    if match is None:
        return {}
    used = {name for text in expressions.expressions_in(match) for name in expressions.names_used(text)}
    steps = {name for text in expressions.expressions_in(match) for name in expressions.steps_used(text)}
    names = engine.names_for(node, used - {"event", "steps"})
    return {**names, "steps": engine.views(node, steps)} if steps else names


async def run_emit(engine: Engine, node: Node) -> Json:
    step = cast(EmitStep, node.step)
    event = PublishEvent(
        id=event_id(idempotency_key(engine, node)),
        topic=step.emit,
        data=arguments(engine, node),
        key=None if step.key is None else as_text(engine.evaluate(node, step.key)),
        by=f"run:{engine.run}",
        tainted=is_tainted(engine, node, step.with_),
    )
    async with engine.working(node):
        published = await call_engine(PUBLISH_EVENT, event, call_of(engine, node, f"publish {step.emit}"))
    return published.model_dump(mode="json")
