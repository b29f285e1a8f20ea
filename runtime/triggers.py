"""What starts runs by itself: schedules and subscriptions of the processes a worker has, kept as their files say."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from contracts.events import Subscription, Unsubscribe
from contracts.names import PROCESS_WORKFLOW
from contracts.process import Process
from contracts.run import RunRequest
from contracts.triggers import WEBHOOK_TOPICS, EventTrigger, ScheduleTrigger, WebhookTrigger
from runtime.topics import Topics

SCHEDULES = "surefoot-"
"""What the ids of schedules begin with, before the process's name."""

log = structlog.get_logger()


async def keep_triggers(client: Client, topics: Topics, queue: str, processes: Iterable[Process]) -> None:
    """Make schedules and subscriptions what the processes' `on` says; those of triggers that are gone are removed."""
    for process in processes:
        await _keep_schedules(client, queue, process)
        await _keep_subscriptions(topics, process)


async def _keep_schedules(client: Client, queue: str, process: Process) -> None:
    prefix = f"{SCHEDULES}{process.process}-"
    wanted = {
        f"{prefix}{number}": _schedule(trigger, process.process, queue)
        for number, trigger in enumerate(process.on)
        if isinstance(trigger, ScheduleTrigger)
    }
    there = [found.id async for found in await client.list_schedules()]
    for schedule_id in there:
        # The number after the prefix: `a-1` is no schedule of process `a` when there is a process `a-1`.
        if schedule_id.startswith(prefix) and schedule_id.removeprefix(prefix).isdigit() and schedule_id not in wanted:
            await client.get_schedule_handle(schedule_id).delete()
            log.info("schedule removed", schedule=schedule_id)
    for schedule_id, schedule in wanted.items():
        try:
            await client.create_schedule(schedule_id, schedule)
            log.info("schedule made", schedule=schedule_id)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(schedule_id).update(_as(schedule))


def _schedule(trigger: ScheduleTrigger, process: str, queue: str) -> Schedule:
    request = RunRequest(process=process, input=trigger.with_ or {}, started_by="schedule:" + process)
    return Schedule(
        action=ScheduleActionStartWorkflow(PROCESS_WORKFLOW, request, id=process, task_queue=queue),
        spec=ScheduleSpec(cron_expressions=[trigger.schedule], time_zone_name=trigger.timezone),
        # A run may wait for people over days; the next one is due all the same.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL),
    )


def _as(schedule: Schedule) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    """An update to this schedule; whether it is paused stays as an operator left it."""

    def update(given: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = given.description.schedule.state
        return ScheduleUpdate(schedule)

    return update


async def _keep_subscriptions(topics: Topics, process: Process) -> None:
    wanted = [
        Subscription(
            id=f"process:{process.process}:{number}",
            topic=trigger.event if isinstance(trigger, EventTrigger) else WEBHOOK_TOPICS + trigger.webhook,
            match=trigger.match,
            process=process.process,
            since=datetime.now(UTC),
            with_=trigger.with_,
        )
        for number, trigger in enumerate(process.on)
        if isinstance(trigger, EventTrigger | WebhookTrigger)
    ]
    for subscription in wanted:
        await topics.subscribe(subscription)
    keep = tuple(subscription.id for subscription in wanted)
    await topics.unsubscribe(Unsubscribe(prefix=f"process:{process.process}:", keep=keep))
