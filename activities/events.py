"""Publishing events and waiting for them, for steps that do."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.activities import PUBLISH_EVENT, SUBSCRIBE_STEP
from contracts.errors import ArgumentsInvalid, InputInvalid
from contracts.events import Published, PublishEvent, Subscribed, Subscription


class Topics(Protocol):
    async def publish(self, event: PublishEvent) -> Published: ...

    async def subscribe(self, subscription: Subscription) -> tuple[int, ...]: ...


def event_activities(topics: Topics) -> tuple[Callable[..., Awaitable[Any]], ...]:
    """`surefoot.publish_event` and `surefoot.subscribe`."""

    @activity.defn(name=PUBLISH_EVENT.name)
    async def publish(request: PublishEvent) -> Published:
        try:
            return await topics.publish(request)
        except InputInvalid as error:
            raise ApplicationError(str(error), type=ArgumentsInvalid.type_name(), non_retryable=True) from error

    @activity.defn(name=SUBSCRIBE_STEP.name)
    async def subscribe(request: Subscription) -> Subscribed:
        return Subscribed(shards=await topics.subscribe(request))

    return publish, subscribe
