"""Who is served first when more waits than workers can do: by priority, tenant by tenant, and by how many workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority
from uuid_utils import uuid7

from contracts.names import PROCESS_WORKFLOW
from contracts.queues import QueueSettings
from contracts.run import RunRequest, RunResult
from contracts.tools import Tool, tool
from runtime.queues import OntoQueues
from tests.workflows.office import Office, open_office

MANY = """
    process: many
    input: {type: object, required: [items], properties: {items: {type: array}}}
    steps:
      each: {for_each: "${ input.items }", parallel: 250, tool: do.work, with: {what: "${ item }"}}
"""
HELD = MANY.replace('tool: do.work, with: {what: "${ item }"}', "tool: do.held")
PART = 250
"""Steps of a run that are scheduled at once."""


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    """Its worker runs workflows; their tools wait in a queue of their own, which nobody polls yet."""
    queue = f"test-{uuid7()}"
    queues = QueueSettings(tools={"do.*": f"{queue}-tools"})
    async with open_office(client, queue=queue, interceptors=[OntoQueues(queues)]) as opened:
        yield opened


@asynccontextmanager
async def tools_worker(office: Office, slots: int) -> AsyncIterator[Office]:
    """One that does the tools, so many at once, as a process of its own would; its ledger has them in order."""
    known = office.client.service_client.config
    client = await Client.connect(known.target_host, data_converter=office.client.data_converter)
    queue = f"{office.queue}-tools"
    async with open_office(client, queue=queue, workflows=(), max_concurrent_activities=slots) as opened:
        yield opened


async def start(
    office: Office, items: list[str], *, text: str = MANY, priority: int | None = None, tenant: str | None = None
) -> WorkflowHandle[Any, RunResult]:
    """A run of which all these items wait for the tools' worker."""
    definition = office.definition(text)
    request = RunRequest(process="many", input={"items": items}, definition=definition, priority=priority)
    run = await office.client.start_workflow(
        PROCESS_WORKFLOW,
        request,
        id=f"many-{uuid7()}",
        task_queue=office.queue,
        result_type=RunResult,
        priority=Priority(priority_key=priority, fairness_key=tenant),
    )
    waiting = 0
    async with asyncio.timeout(120):
        while waiting < len(items):
            await asyncio.sleep(0.1)
            waiting = len((await run.describe()).raw_description.pending_activities)
    return run


def order(office: Office) -> list[str]:
    """Whose item each call was, in order."""
    return [what for _, _, what in office.ledger]


@pytest.mark.slow
async def test_priority_1_overtakes_a_backlog_of_1000_of_priority_5(office: Office) -> None:
    backlog = [await start(office, ["late"] * PART, priority=5) for _ in range(4)]
    urgent = await start(office, ["urgent"], priority=1)
    async with tools_worker(office, 5) as other:
        async with asyncio.timeout(60):
            await urgent.result()
            served = order(other)
        assert "urgent" in served[:50]
        assert len(served) < 4 * PART
        for run in backlog:
            await run.terminate()


@pytest.mark.slow
async def test_a_noisy_tenant_does_not_starve_another(office: Office) -> None:
    noisy = [await start(office, ["noisy"] * PART, tenant="noisy") for _ in range(2)]
    quiet = await start(office, ["quiet"] * 20, tenant="quiet")
    async with tools_worker(office, 5) as other:
        async with asyncio.timeout(60):
            await quiet.result()
            served = order(other)
        # Each of the queue's four partitions is fair in itself, and they are not emptied at the same pace.
        places = [place for place, whose in enumerate(served) if whose == "quiet"]
        assert places[len(places) // 2] < 100
        for run in noisy:
            await run.terminate()


async def test_two_workers_do_twice_the_work_of_one(office: Office) -> None:
    run = await start(office, ["held"] * 20, text=HELD)
    async with tools_worker(office, 5) as one:
        await at_work(one, 5)
        async with tools_worker(office, 5) as two:
            await at_work(two, 5)
            assert sum(gate.is_set() for gate in one.started.values()) == 5
            assert sum(gate.is_set() for gate in two.started.values()) == 5
            await run.terminate()
            for each in (one, two):
                for name in each.started:
                    each.gates[name].set()


async def at_work(office: Office, calls: int) -> None:
    async with asyncio.timeout(30):
        while sum(gate.is_set() for gate in office.started.values()) < calls:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("tenant", ["acme", None])
async def test_all_that_a_run_starts_is_its_tenants(client: Client, tenant: str | None) -> None:
    seen: list[tuple[str, str | None, int | None]] = []

    def more(office: Office) -> list[Tool[..., Any]]:
        @tool(name="do.see", effect="read")
        async def see() -> None:
            """Say for whom it is."""
            info = activity.info()
            seen.append((info.workflow_id or "", info.priority.fairness_key, info.priority.priority_key))

        return [see]

    # What waits in no queue is not told whose it is.
    async with open_office(client, more=more, disable_eager_activity_execution=True) as office:
        office.children["inner"] = office.definition("process: inner\nsteps: {look: {tool: do.see}}")
        definition = office.definition("""
            process: outer
            steps:
              look: {tool: do.see}
              inner: {needs: [look], process: inner}
        """)
        name = f"outer-{uuid7()}"
        run = await client.start_workflow(
            PROCESS_WORKFLOW,
            RunRequest(process="outer", input={}, definition=definition, priority=2),
            id=name,
            task_queue=office.queue,
            priority=Priority(priority_key=2, fairness_key=tenant),
        )
        await run.result()
    assert [(whose or None, key) for _, whose, key in seen] == [(tenant, 2), (tenant, 2)]
    assert len({workflow for workflow, _, _ in seen}) == 2
