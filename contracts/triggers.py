"""What starts runs by itself: the `on` of a process."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from contracts.base import Contract, Expression, Json, Topic

WEBHOOK_TOPICS = "webhook."
"""What the topics of webhooks begin with."""


class EventTrigger(Contract):
    """Starts a run for each event of a topic that matches; `with` is its input, the event's data when left out."""

    event: Topic
    match: Expression | None = None
    with_: Annotated[Json, Field(alias="with")] = None


class WebhookTrigger(Contract):
    """Starts a run for each call of a webhook: events of the topic `webhook.NAME`."""

    webhook: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    match: Expression | None = None
    with_: Annotated[Json, Field(alias="with")] = None


class ScheduleTrigger(Contract):
    """Starts runs by the clock: a cron line of five fields, or a name such as `@daily`; UTC unless told otherwise."""

    schedule: Annotated[str, Field(min_length=1)]
    timezone: str = "UTC"
    with_: Annotated[Json, Field(alias="with")] = None


TRIGGER_KINDS: dict[str, type[Contract]] = {
    "event": EventTrigger,
    "schedule": ScheduleTrigger,
    "webhook": WebhookTrigger,
}


def trigger_kind(value: Any) -> str | None:
    """The discriminator of a trigger: the tag `on:KIND`, or None."""
    if isinstance(value, Contract):
        return next(f"on:{kind}" for kind, made in TRIGGER_KINDS.items() if isinstance(value, made))
    found = [kind for kind in TRIGGER_KINDS if isinstance(value, dict) and kind in value]
    return f"on:{found[0]}" if len(found) == 1 else None


Trigger = Annotated[
    Annotated[EventTrigger, Tag("on:event")]
    | Annotated[ScheduleTrigger, Tag("on:schedule")]
    | Annotated[WebhookTrigger, Tag("on:webhook")],
    Discriminator(trigger_kind),
]
