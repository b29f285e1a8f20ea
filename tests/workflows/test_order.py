"""A run replays as it went, in whatever parcels a worker learns of what happened."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, UpdateWorkflowExecutionLifecycleStage
from temporalio.api.update.v1 import UpdateRef, WaitPolicy
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, Worker

from runtime.sandbox import patient, workflow_runner
from runtime.watch import ask
from tests.business import eventually
from tests.workflows.going_on import Ends, GoesOn, Held, Notes, Tells
from tests.workflows.office import UNDO, Run, effects, open_office, statuses
from workflows.registered import WORKFLOWS

PROCESS = f"""
process: order
steps:
  a: {{tool: do.held, {UNDO}}}
  b: {{tool: do.held, {UNDO}}}
  c: {{tool: do.held, {UNDO}}}
  d: {{tool: do.held, {UNDO}}}
  goes_on: {{tool: do.held}}
  ask: {{approval: {{title: Go?, from: [{{any_of: [user:alice]}}]}}}}
"""


async def completed(run: Run, step: str) -> None:
    await run.until(lambda view: statuses(view)[step] == "completed")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["update", "signal"])
async def test_a_message_that_comes_to_a_worker_together_with_older_results_comes_after_them(
    client: Client, how: str
) -> None:
    """Results in a row after which there is nothing to do, then a message, to a worker that let go of the run."""
    async with open_office(client, max_cached_workflows=1) as office:
        run = await office.start(PROCESS)
        await run.waiting("ask")
        for step in "dcba":
            await office.started[step].wait()
            office.gates[step].set()
            await completed(run, step)
        other = await office.start("{process: another, steps: {w: {wait: 1d}}}")
        await other.waiting("w")
        no = {"step": "ask", "decision": "reject", "by": "user:alice", "comment": "no"}
        if how == "update":
            await run.decide("ask", "reject", "user:alice", comment="no")
        else:
            await run.handle.signal("decide", no)
        await run.until(lambda view: not view.waiting)
        office.gates["goes_on"].set()
        assert "Go? — rejected by user:alice" in await run.failed()
        assert sorted(effects(office, "undo")) == list("abcd")
        events = await run.events("step.completed", "approval.reject")
        assert [event.step for event in events[:5]] == [*"dcba", "ask"]
        replayer = Replayer(
            workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=client.data_converter
        )
        await replayer.replay_workflow(await run.handle.fetch_history())


async def told_with_a_result(client: Client, workflow: type[GoesOn] | type[Ends]) -> WorkflowHandle[Any, Any]:
    """A run that has ended, whose worker got its result and an update at once."""
    name, held = f"told-{uuid4().hex}", Held()

    def worker() -> Worker:
        return patient(Worker(client, task_queue=name, workflows=[workflow], workflow_runner=workflow_runner()))

    async with Worker(client, task_queue=f"{name}-held", activities=[held.held]):
        async with worker():
            handle = await client.start_workflow(workflow.run, id=name, task_queue=name)
            await held.begun.wait()
        held.gate.set()
        await eventually(lambda: kinds(handle), lambda found: EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in found)
        told = asyncio.create_task(handle.execute_update("tell", id=name))
        await eventually(lambda: is_admitted(client, handle, name), bool)
        async with worker():
            await told
            await handle.result()
    replayer = Replayer(workflows=[workflow], workflow_runner=workflow_runner())
    await replayer.replay_workflow(await handle.fetch_history())
    return handle


async def test_an_update_that_comes_with_a_result_is_accepted_after_what_came_of_the_result(client: Client) -> None:
    found = await kinds(await told_with_a_result(client, GoesOn))
    accepted = found.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    assert found.index(EventType.EVENT_TYPE_TIMER_STARTED) < accepted


async def test_a_run_that_could_end_with_a_result_waits_for_what_it_is_told_with_it(client: Client) -> None:
    handle = await told_with_a_result(client, Ends)
    assert await handle.result() is True


@pytest.mark.timeout(60)
async def test_a_question_does_not_make_a_run_go_on(client: Client) -> None:
    """It waits for a worker while a timer fires, and half of the time comes to it before the task of that timer."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(16):
            tasks.create_task(asked_before_its_task(client, cancels=bool(number % 2)))


async def asked_before_its_task(client: Client, *, cancels: bool) -> None:
    name = f"asked-{uuid4().hex}"

    def worker() -> Worker:
        return patient(Worker(client, task_queue=name, workflows=[Tells], workflow_runner=workflow_runner()))

    async with worker():
        handle = await client.start_workflow(Tells.run, cancels, id=name, task_queue=name)
        tasks = 3 if cancels else 2
        await until_tasks(handle, tasks)
    asked = asyncio.create_task(ask(handle, "is_told", bool))
    await eventually(lambda: kinds(handle), lambda found: found.count(EventType.EVENT_TYPE_TIMER_FIRED) == 2)
    async with worker():
        assert await asked is False
        await handle.signal(Tells.tell)
        fired = await handle.result()
    await assert_is_of_a_task(fired, handle, after=tasks)


async def until_tasks(handle: WorkflowHandle[Any, Any], number: int) -> None:
    completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    await eventually(lambda: kinds(handle), lambda found: found.count(completed) == number)


async def assert_is_of_a_task(now: datetime, handle: WorkflowHandle[Any, Any], after: int) -> None:
    events = (await handle.fetch_history()).events
    taken = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED]
    times = [event.event_time.ToDatetime(UTC) for event in taken[after:]]
    assert any(abs(now - time) < timedelta(milliseconds=1) for time in times)
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in [event.event_type for event in events]


async def test_nor_does_one_that_comes_at_once_after_a_task_that_had_nothing_to_give_it(client: Client) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(asked_at_once(client))


async def asked_at_once(client: Client) -> None:
    name = f"asked-{uuid4().hex}"

    def worker() -> Worker:
        return patient(Worker(client, task_queue=name, workflows=[Notes], workflow_runner=workflow_runner()))

    async with worker():
        handle = await client.start_workflow(Notes.run, id=name, task_queue=name)
        await until_tasks(handle, 1)
        await handle.signal(Notes.tell)
        await until_tasks(handle, 3)
    asked = asyncio.create_task(ask(handle, "told", int))
    await handle.signal(Notes.tell)
    async with worker():
        await asked
        await handle.signal(Notes.tell)
        told = await handle.result()
    await assert_is_of_a_task(told, handle, after=3)


async def is_admitted(client: Client, handle: WorkflowHandle[Any, Any], update: str) -> bool:
    """Whether the server keeps an update for the run's next workflow task."""
    of = UpdateRef(workflow_execution=WorkflowExecution(workflow_id=handle.id), update_id=update)
    stage = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
    asked = PollWorkflowExecutionUpdateRequest(
        namespace="default", update_ref=of, wait_policy=WaitPolicy(lifecycle_stage=stage)
    )
    try:
        await client.workflow_service.poll_workflow_execution_update(asked)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def kinds(handle: WorkflowHandle[Any, Any]) -> list[int]:
    return [event.event_type for event in (await handle.fetch_history()).events]
