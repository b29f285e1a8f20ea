"""Publishing events and waiting for them: messages to the topic's workflows, which are started when they do not run."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_core import to_json
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from contracts.activities import PUBLISH_EVENT, SUBSCRIBE_STEP
from contracts.errors import ArgumentsInvalid
from contracts.events import (
    MAX_EVENT_BYTES,
    Published,
    PublishEvent,
    Subscribed,
    Subscription,
    TopicState,
    shard_of,
    shards_for,
    topic_workflow_id,
)
from contracts.names import PUBLISH, SUBSCRIBE, TOPIC_WORKFLOW


def event_activities(client: Client, queue: str) -> tuple[Callable[..., Awaitable[Any]], ...]:
    """`surefoot.publish_event` and `surefoot.subscribe`; `queue` is where topics run."""

    @activity.defn(name=PUBLISH_EVENT.name)
    async def publish(request: PublishEvent) -> Published:
        size = len(to_json(request.data))
        if size > MAX_EVENT_BYTES:
            message = f"the event's data has {size} bytes; at most {MAX_EVENT_BYTES} are published, emit a reference"
            raise ApplicationError(message, type=ArgumentsInvalid.type_name(), non_retryable=True)
        await send(client, queue, request.topic, shard_of(request.key or request.id), PUBLISH, request)
        return Published(id=request.id, topic=request.topic)

    @activity.defn(name=SUBSCRIBE_STEP.name)
    async def subscribe(request: Subscription) -> Subscribed:
        shards = shards_for(request.key)
        for shard in shards:
            await send(client, queue, request.topic, shard, SUBSCRIBE, request)
        return Subscribed(shards=shards)

    return publish, subscribe


async def send(client: Client, queue: str, topic: str, shard: int, signal: str, argument: object) -> None:
    """Signal a shard of a topic, started first when it does not run."""
    await client.start_workflow(
        TOPIC_WORKFLOW,
        TopicState(topic=topic, shard=shard),
        id=topic_workflow_id(topic, shard),
        task_queue=queue,
        start_signal=signal,
        start_signal_args=[argument],
        static_summary=f"topic {topic}",
    )
