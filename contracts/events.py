"""Events: what is published on a topic, who waits for it, and what the topic's workflows carry over.

A topic is spread over `SHARDS` workflows `Topic`. An event is in the shard of its key, or of its id when it has none;
who waits with a key waits in one shard, who waits without in all of them.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from contracts.base import Contract, Duration, Expression, Json, Topic
from contracts.triggers import WEBHOOK_TOPICS

SHARDS = 4
MAX_ID = 300
"""Characters of an event's id, of which the ids of the runs it starts are made; the server takes 1,000."""
MAX_EVENT_BYTES = 100_000
"""Of an event's data as JSON: topics keep events for a while, and hand each to everybody who waits."""


EventId = Annotated[str, Field(min_length=1, max_length=MAX_ID)]


class Event(Contract):
    """`id`: events with the same id are the same event. `data` is what `event` is in a `match`."""

    id: str
    topic: Topic
    data: Json = None
    key: str | None = None
    at: datetime
    by: str | None = Field(default=None, description="the run that emitted it, or who published it")
    tainted: bool = Field(default=False, description="whether its data may hold text from outside")


class Subscription(Contract):
    """Who is to get the events of a topic: a step of a run, once, or a process, a run for each.

    `match` is CEL over `event` and the values `names`, which are those of the moment the wait began. Events since
    `since` count, though published before; after `until` nobody waits any more.
    """

    id: str
    topic: Topic
    key: str | None = None
    match: str | None = None
    names: dict[str, Any] = {}
    since: datetime
    until: datetime | None = None
    run: str | None = None
    step: str | None = None
    process: str | None = None
    queue: str | None = Field(default=None, description="the task queue that runs of the process go to")
    name: str = Field(default="", description="what the ids of runs begin with, before the event's id")
    with_: Annotated[Json, Field(alias="with")] = None


class Awaited(Contract):
    """Which event of its topic a step waits for, and how long from when it begins to, or from when that was amended;
    what is None does not narrow it. An operator's amend gives those that change."""

    key: str | None = None
    match: Expression | None = None
    within: Duration | None = None


class Delivery(Contract):
    """Signal `event` to a run."""

    step: str
    subscription: str
    event: Event


class TopicState(Contract):
    """What a shard of a topic holds; also the input of workflow `Topic`, and its answer to query `view`.

    `recent`: the newest events, kept for those who do not wait yet, and to know an event that comes twice.
    `due`: deliveries that are still to be made; who waits once has been taken off the subscriptions by then.
    """

    topic: Topic
    shard: int
    subscriptions: dict[str, Subscription] = {}
    recent: tuple[Event, ...] = ()
    due: tuple[tuple[Subscription, Event], ...] = ()
    delivered: int = 0
    published: int = 0
    problems: tuple[str, ...] = Field(default=(), description="the last events that could start no run, and why")


class Unsubscribe(Contract):
    """Signal `unsubscribe`: the subscription `id`; or all triggers of a task queue but those of `keep`."""

    id: str | None = None
    queue: str | None = None
    keep: tuple[str, ...] = ()


class PublishEvent(Contract):
    """Publish an event; also signal `publish` of a topic. Its time is when the topic gets it, by the server's clock."""

    id: EventId
    topic: Topic
    data: Json = None
    key: str | None = None
    by: str | None = None
    tainted: bool = Field(default=False, description="whether its data may hold text from outside")

    @property
    def is_from_outside(self) -> bool:
        """Whoever calls a webhook is nobody's colleague."""
        return self.tainted or self.topic.startswith(WEBHOOK_TOPICS)


class Published(Contract):
    id: str
    topic: str


class Subscribed(Contract):
    shards: tuple[int, ...]


def shard_of(key: str) -> int:
    """The shard of a key; the same in every process and version."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % SHARDS


def shards_for(key: str | None) -> tuple[int, ...]:
    """Where somebody waits who wants events with this key; None: with any, or none."""
    return tuple(range(SHARDS)) if key is None else (shard_of(key),)


def event_id(key: str) -> str:
    """The id of an event that a step emits: the step's idempotency key, or its digest when that is too long."""
    return key if len(key) <= MAX_ID else hashlib.sha256(key.encode()).hexdigest()


_TOPIC_PREFIX = "surefoot-topic/"


def topic_workflow_id(topic: str, shard: int) -> str:
    return f"{_TOPIC_PREFIX}{topic}/{shard}"


def is_topic(workflow_id: str) -> bool:
    return workflow_id.startswith(_TOPIC_PREFIX)
