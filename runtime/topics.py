"""Publishing events and waiting for them: signals to the topic's workflows, which are started when they do not run."""

from pydantic_core import to_json
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Contract
from contracts.errors import InputInvalid
from contracts.events import (
    MAX_EVENT_BYTES,
    Published,
    PublishEvent,
    Subscription,
    TopicState,
    Unsubscribe,
    shard_of,
    shards_for,
    topic_workflow_id,
)
from contracts.names import PUBLISH, SUBSCRIBE, TOPIC_WORKFLOW, UNSUBSCRIBE


class Topics:
    """The topics of a namespace. `queue`: the task queue that their workflows run on."""

    def __init__(self, client: Client, queue: str) -> None:
        self._client = client
        self._queue = queue

    async def publish(self, event: PublishEvent) -> Published:
        """Give an event to its topic. One that was published already, by its id, changes nothing.

        Raises:
            InputInvalid: its data is too large to be kept for those who wait.
        """
        size = len(to_json(event.data))
        if size > MAX_EVENT_BYTES:
            raise InputInvalid(
                f"the event's data has {size} bytes; at most {MAX_EVENT_BYTES} are published, send a reference to it"
            )
        await self._send(event.topic, shard_of(event.key or event.id), PUBLISH, event)
        return Published(id=event.id, topic=event.topic)

    async def subscribe(self, subscription: Subscription) -> tuple[int, ...]:
        """Have somebody wait, in place of whoever waited under the same id; the shards it waits in."""
        shards = shards_for(subscription.key)
        for shard in shards:
            await self._send(subscription.topic, shard, SUBSCRIBE, subscription)
        return shards

    async def unsubscribe(self, unwanted: Unsubscribe) -> None:
        """Take subscriptions off every topic there is."""
        running = f"WorkflowType = '{TOPIC_WORKFLOW}' AND ExecutionStatus = 'Running'"
        try:
            async for found in self._client.list_workflows(running):
                await self._client.get_workflow_handle(found.id).signal(UNSUBSCRIBE, unwanted)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNIMPLEMENTED:  # of the time-skipping test server, which is ever new
                raise

    async def _send(self, topic: str, shard: int, signal: str, argument: Contract) -> None:
        await self._client.start_workflow(
            TOPIC_WORKFLOW,
            TopicState(topic=topic, shard=shard),
            id=topic_workflow_id(topic, shard),
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
            start_signal_args=[argument],
            static_summary=f"topic {topic}",
        )
