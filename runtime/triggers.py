"""What starts runs by itself: schedules and subscriptions of the processes a worker has, kept as their files say."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from contracts.events import Subscription, Unsubscribe
from contracts.names import PROCESS_WORKFLOW
from contracts.process import Process
from contracts.run import RunRequest
from contracts.triggers import WEBHOOK_TOPICS, EventTrigger, ScheduleTrigger, WebhookTrigger
from runtime.topics import Topics

SCHEDULES = "surefoot-"
"""What the ids of schedules begin with, before the process's name."""

QUEUE_MEMO = "surefoot_queue"
"""Tells whose a schedule is: the task queue of the workers that keep it."""

CATCH_UP = timedelta(hours=1)
"""How late a run may start that was due while the server was down; those from before are left out."""

log = structlog.get_logger()


async def keep_triggers(client: Client, topics: Topics, queue: str, processes: Collection[Process]) -> None:
    """Make the schedules and subscriptions of a task queue what the `on` of its processes says, which are all that a
    worker of the queue has; those of triggers and processes that are gone are removed."""
    await _keep_schedules(client, queue, processes)
    await _keep_subscriptions(topics, queue, processes)


async def _keep_schedules(client: Client, queue: str, processes: Iterable[Process]) -> None:
    wanted = {
        f"{SCHEDULES}{process.process}-{number}": _schedule(trigger, process.process, queue)
        for process in processes
        for number, trigger in enumerate(process.on)
        if isinstance(trigger, ScheduleTrigger)
    }
    for found in await _schedules(client):
        if found.id not in wanted and (await found.memo()).get(QUEUE_MEMO) == queue:
            await _remove(client, found.id)
    for schedule_id, schedule in wanted.items():
        try:
            await client.create_schedule(schedule_id, schedule, memo={QUEUE_MEMO: queue})
            log.info("schedule made", schedule=schedule_id)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(schedule_id).update(_as(schedule))


async def _schedules(client: Client) -> list[ScheduleListDescription]:
    try:
        return [found async for found in await client.list_schedules()]
    except RPCError as error:
        if error.status is RPCStatusCode.UNIMPLEMENTED:  # of the time-skipping test server, which has none
            return []
        raise


async def _remove(client: Client, schedule_id: str) -> None:
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # Another worker, which starts too, was faster.
            raise
    else:
        log.info("schedule removed", schedule=schedule_id)


def _schedule(trigger: ScheduleTrigger, process: str, queue: str) -> Schedule:
    request = RunRequest(process=process, input=trigger.with_ or {}, started_by="schedule:" + process)
    return Schedule(
        action=ScheduleActionStartWorkflow(PROCESS_WORKFLOW, request, id=process, task_queue=queue),
        spec=ScheduleSpec(cron_expressions=[trigger.schedule], time_zone_name=trigger.timezone),
        # A run may wait for people over days; the next one is due all the same.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=CATCH_UP),
    )


def _as(schedule: Schedule) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    """An update to this schedule; whether it is paused stays as an operator left it."""

    def update(given: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = given.description.schedule.state
        return ScheduleUpdate(schedule)

    return update


async def _keep_subscriptions(topics: Topics, queue: str, processes: Iterable[Process]) -> None:
    wanted = [made for process in processes for made in _subscriptions(process, queue)]
    for subscription in wanted:
        await topics.subscribe(subscription)
    await topics.unsubscribe(Unsubscribe(queue=queue, keep=tuple(subscription.id for subscription in wanted)))


def _subscriptions(process: Process, queue: str) -> Iterator[Subscription]:
    triggers = [trigger for trigger in process.on if isinstance(trigger, EventTrigger | WebhookTrigger)]
    for number, trigger in enumerate(triggers):
        topic = trigger.event if isinstance(trigger, EventTrigger) else WEBHOOK_TOPICS + trigger.webhook
        yield Subscription(
            id=f"{queue}:{process.process}:{topic}:{number}",
            topic=topic,
            match=trigger.match,
            process=process.process,
            queue=queue,
            # Events of two topics may have the same id, and are two events.
            name=f"{process.process}-" if number == 0 else f"{process.process}-{topic}-",
            since=datetime.now(UTC),
            with_=trigger.with_,
        )
