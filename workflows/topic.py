"""Workflow `Topic`: one shard of a topic. Keeps events for a while, and hands each to everybody who waits for it.

At least once: a delivery is made again when the workflow continues as new in the middle of it; who gets one twice
takes it once, by the id of the event or of the run it starts.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from temporalio import workflow
from temporalio.common import VersioningBehavior, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.base import Json
    from contracts.errors import ExpressionFailed
    from contracts.events import Delivery, Event, PublishEvent, Subscription, TopicState, Unsubscribe
    from contracts.names import (
        EVENT_SIGNAL,
        PROCESS_WORKFLOW,
        PUBLISH,
        SUBSCRIBE,
        TOPIC_WORKFLOW,
        UNSUBSCRIBE,
        VIEW_QUERY,
    )
    from contracts.run import RunRequest
    from language import expressions
    from workflows.calls import summary
    from workflows.signals import tell

KEEP = timedelta(days=1)
"""How long an event is kept for those who do not wait yet, and known when it comes again."""
MAX_KEPT = 1_000
MAX_KEPT_BYTES = 500_000
"""Events kept by a shard, and bytes of their data as JSON; the oldest go first."""
MAX_PROBLEMS = 20
"""Events that could start no run, remembered with the reason."""
AT_ONCE = 100
"""Deliveries under way at a time; the server bounds pending signals and child starts."""
MAX_SIGNALS = 4_000
"""Signals a workflow takes before it continues as new; the server ends it at 10,000."""


@workflow.defn(name=TOPIC_WORKFLOW)
class TopicWorkflow:
    @workflow.init
    def __init__(self, state: TopicState) -> None:
        self._topic = state.topic
        self._shard = state.shard
        self._subscriptions = dict(state.subscriptions)
        self._recent = {event.id: event for event in state.recent}
        self._due: list[tuple[Subscription, Event]] = list(state.due)
        self._delivered = state.delivered
        self._published = state.published
        self._problems = state.problems
        self._signals = 0

    @workflow.run
    async def run(self, state: TopicState) -> None:
        while not self._is_idle():
            if self._due:
                await self._deliver()
            if self._is_long():
                await waiting.until(workflow.all_handlers_finished)
                workflow.continue_as_new(self._state())
            if not self._due:
                await self._rest()

    @workflow.signal(name=PUBLISH)
    def publish(self, *payload: Json) -> None:
        published = self._read(PublishEvent, payload)
        if published is None or published.id in self._recent:
            return
        event = Event(**{**published.model_dump(), "tainted": published.is_from_outside}, at=workflow.now())
        self._published += 1
        self._recent[event.id] = event
        self._forget_old()
        for subscription in list(self._subscriptions.values()):
            self._offer(subscription, event)

    @workflow.signal(name=SUBSCRIBE)
    def subscribe(self, *payload: Json) -> None:
        subscription = self._read(Subscription, payload)
        if subscription is None:
            return
        is_known = subscription.id in self._subscriptions
        # From a machine whose clock is ahead, what happens next would be before.
        subscription = subscription.model_copy(update={"since": min(subscription.since, workflow.now())})
        self._subscriptions[subscription.id] = subscription
        if not is_known:
            for event in list(self._recent.values()):
                self._offer(subscription, event)

    @workflow.signal(name=UNSUBSCRIBE)
    def unsubscribe(self, *payload: Json) -> None:
        wanted = self._read(Unsubscribe, payload)
        if wanted is None:
            return
        gone = [
            key
            for key, made in self._subscriptions.items()
            if key == wanted.id or (wanted.queue is not None and made.queue == wanted.queue and key not in wanted.keep)
        ]
        for key in gone:
            del self._subscriptions[key]

    @workflow.query(name=VIEW_QUERY)
    def view(self) -> TopicState:
        return self._state()

    def _read(self, model: type[Any], payload: tuple[Json, ...]) -> Any:
        """The signal's argument; None when it cannot be read, for a signal cannot be refused."""
        self._signals += 1
        try:
            return model.model_validate(payload[0] if len(payload) == 1 else None)
        except ValidationError as error:
            workflow.logger.warning("signal ignored: %s", error)
            return None

    def _offer(self, subscription: Subscription, event: Event) -> None:
        """Note the delivery of an event to who waits for it: a step for one, a process for all there are."""
        if subscription.id in self._subscriptions and _wants(subscription, event):
            self._due.append((subscription, event))
            if subscription.run is not None:
                del self._subscriptions[subscription.id]

    def _forget_old(self) -> None:
        now = workflow.now()
        size = 0
        kept: dict[str, Event] = {}
        for event in reversed(self._recent.values()):
            size += len(to_json(event.data))
            if now - event.at > KEEP or len(kept) == MAX_KEPT or size > MAX_KEPT_BYTES:
                break
            kept[event.id] = event
        self._recent = dict(reversed(kept.items()))
        for key in [key for key, made in self._subscriptions.items() if made.until is not None and made.until < now]:
            del self._subscriptions[key]

    async def _deliver(self) -> None:
        batch = self._due[:AT_ONCE]
        await asyncio.gather(*(self._hand_over(subscription, event) for subscription, event in batch))
        del self._due[: len(batch)]
        self._delivered += len(batch)

    async def _hand_over(self, subscription: Subscription, event: Event) -> None:
        if subscription.run is not None and subscription.step is not None:
            delivery = Delivery(step=subscription.step, subscription=subscription.id, event=event)
            with contextlib.suppress(ApplicationError):  # of a run that has ended, and waits for nothing any more
                await tell(workflow.get_external_workflow_handle(subscription.run), EVENT_SIGNAL, delivery)
        elif subscription.process is not None:
            await self._start(subscription.process, subscription, event)

    async def _start(self, process: str, subscription: Subscription, event: Event) -> None:
        """A run of a process for an event; its id is made of the event's, so that one that comes twice starts one."""
        try:
            given = event.data if subscription.with_ is None else _filled(subscription.with_, event)
        except ExpressionFailed as error:
            problem = f"{workflow.now():%Y-%m-%d %H:%M:%S} {process} was not started for event {event.id}: {error}"
            workflow.logger.error(problem)
            self._problems = (*self._problems, problem)[-MAX_PROBLEMS:]
            return
        with contextlib.suppress(WorkflowAlreadyStartedError):  # by an earlier delivery of the same event
            await workflow.start_child_workflow(
                PROCESS_WORKFLOW,
                RunRequest(process=process, input=given, tainted=event.tainted, started_by=f"event:{event.topic}"),
                id=f"{subscription.name or f'{process}-'}{event.id}",
                task_queue=subscription.queue,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=summary(f"{process} for {event.topic} {event.id}"),
            )

    async def _rest(self) -> None:
        """Until something is to be delivered, or there is nothing left to keep."""
        try:
            await waiting.until(lambda: bool(self._due) or self._is_long(), within=KEEP, summary="forget old events")
        except TimeoutError:
            self._forget_old()

    def _is_idle(self) -> bool:
        return self._signals > 0 and not (self._due or self._subscriptions or self._recent)

    def _is_long(self) -> bool:
        return self._signals >= MAX_SIGNALS or workflow.info().is_continue_as_new_suggested()

    def _state(self) -> TopicState:
        return TopicState(
            topic=self._topic,
            shard=self._shard,
            subscriptions=self._subscriptions,
            recent=tuple(self._recent.values()),
            due=tuple(self._due),
            delivered=self._delivered,
            published=self._published,
            problems=self._problems,
        )


@workflow.defn(name=TOPIC_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class UpgradingTopicWorkflow(TopicWorkflow):
    """The same where workers are releases: it never ends, so that it goes with the current one. The server takes no
    such word from workers that are none."""

    @workflow.init
    def __init__(self, state: TopicState) -> None:
        super().__init__(state)

    @workflow.run
    async def run(self, state: TopicState) -> None:
        await super().run(state)


def _wants(subscription: Subscription, event: Event) -> bool:
    if event.at < subscription.since or (subscription.until is not None and event.at > subscription.until):
        return False
    if subscription.key is not None and subscription.key != event.key:
        return False
    if subscription.match is None:
        return True
    names = {**subscription.names, "event": event.data}
    steps: Mapping[str, Json] = subscription.names.get("steps", {})
    try:
        return expressions.truth(subscription.match, names, steps.get)
    except ExpressionFailed as error:
        # Of other events of the topic, which may lack what this one compares.
        workflow.logger.info("event %s does not match: %s", event.id, error)
        return False


def _filled(template: Json, event: Event) -> Json:
    return expressions.evaluate(template, {"event": event.data})
