"""Triggers are kept on the server as the files say: made, changed, removed, and they start runs. On a real server."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, ScheduleActionStartWorkflow, WorkflowHandle

from contracts.events import TopicState, topic_workflow_id
from contracts.names import VIEW_QUERY
from contracts.process import Process
from runtime.triggers import keep_triggers
from tests.business import eventually
from tests.workflows.office import Office, open_office


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    async with open_office(client) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    return f"t{uuid4().hex}"


def triggered(name: str, *triggers: object) -> Process:
    return Process.model_validate({"process": name, "on": triggers, "steps": {"a": {"tool": "do.work"}}})


async def keep(office: Office, *processes: Process) -> None:
    await keep_triggers(office.client, office.topics, office.queue, processes)


async def until_listed(client: Client, name: str, *wanted: str) -> None:
    """Until these schedules are there, and no others with this name: the server lists them a moment later."""

    async def listed() -> list[str]:
        return sorted([found.id async for found in await client.list_schedules() if name in found.id])

    await eventually(listed, lambda found: found == sorted(wanted))


async def subscriptions(client: Client, topic: str) -> list[str]:
    handle = client.get_workflow_handle(topic_workflow_id(topic, 0))
    return list((await handle.query(VIEW_QUERY, result_type=TopicState)).subscriptions)


async def test_a_schedule_is_made_changed_and_removed_with_its_file(office: Office, name: str) -> None:
    await keep(office, triggered(name, {"schedule": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"}))
    handle = office.client.get_schedule_handle(f"surefoot-{name}-0")
    described = (await handle.describe()).schedule
    assert described.spec.time_zone_name == "Europe/Berlin"
    assert isinstance(described.action, ScheduleActionStartWorkflow)
    await handle.pause(note="holidays")
    await keep(office, triggered(name, {"schedule": "0 10 * * *", "with": {"n": 1}}))
    changed = (await handle.describe()).schedule
    assert changed.state.paused
    assert changed.spec.calendars[0].hour[0].start == 10
    await until_listed(office.client, name, f"surefoot-{name}-0")
    await keep(office, triggered(name))
    await until_listed(office.client, name)


async def test_what_belongs_to_other_workers_is_left_alone_and_what_belongs_to_no_process_any_more_is_removed(
    office: Office, name: str
) -> None:
    await keep(office, triggered(f"{name}-1", {"schedule": "@daily"}))
    await until_listed(office.client, name, f"surefoot-{name}-1-0")
    await keep_triggers(office.client, office.topics, "another queue", [])
    await office.client.get_schedule_handle(f"surefoot-{name}-1-0").describe()  # It is there.
    # As workers do that start at the same time.
    await asyncio.gather(*(keep(office) for _ in range(3)))
    await until_listed(office.client, name)


async def test_a_schedule_starts_runs_of_the_process_with_its_input(office: Office, name: str) -> None:
    office.children[name] = office.definition(
        f"process: {name}\nsteps: {{a: {{tool: do.work, with: {{what: '${{ input.of + run.started_by }}'}}}}}}"
    )
    await keep(office, triggered(name, {"schedule": "@yearly", "with": {"of": "night "}}))
    handle = office.client.get_schedule_handle(f"surefoot-{name}-0")
    await handle.trigger()
    while not (actions := (await handle.describe()).info.recent_actions):
        pass
    started = actions[0].action
    assert isinstance(started, ScheduleActionExecutionStartWorkflow)
    run: WorkflowHandle[object, object] = office.client.get_workflow_handle(started.workflow_id)
    await run.result()
    assert office.ledger == [("do", "a", f"night schedule:{name}")]
    await keep(office, triggered(name))


async def test_subscriptions_follow_the_file_and_a_webhook_is_a_topic(office: Office, name: str) -> None:
    await keep(office, triggered(name, {"event": f"e.{name}"}, {"webhook": name}))
    assert await subscriptions(office.client, f"e.{name}") == [f"{office.queue}:{name}:e.{name}:0"]
    assert await subscriptions(office.client, f"webhook.{name}") == [f"{office.queue}:{name}:webhook.{name}:1"]
    await keep(office, triggered(name, {"event": f"e.{name}"}))
    async with asyncio.timeout(60):
        while await subscriptions(office.client, f"webhook.{name}"):
            await keep(office, triggered(name, {"event": f"e.{name}"}))
    assert await subscriptions(office.client, f"e.{name}") == [f"{office.queue}:{name}:e.{name}:0"]
