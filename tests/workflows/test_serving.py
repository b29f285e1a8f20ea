"""Who is served first when more waits than workers can do: by priority, tenant by tenant, and by how many workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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
    async with workflows_worker(client) as opened:
        yield opened


@asynccontextmanager
async def workflows_worker(client: Client) -> AsyncIterator[Office]:
    """One that runs workflows; their tools wait in a queue of their own, which nobody polls yet."""
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


@pytest.mark.slow
async def test_priority_1_overtakes_a_backlog_of_1000_of_priority_5(office: Office) -> None:
    for _ in range(4):
        await start(office, ["late"] * PART, priority=5)
    await start(office, ["patient"], priority=5)
    urgent = await start(office, ["urgent"], priority=1)
    served = await served_until(urgent, office)
    assert served[0] == "urgent"
    # Of the same load without priority 1, though it came earlier, nothing yet: it is behind a thousand others.
    assert "patient" not in served


@pytest.mark.slow
async def test_a_noisy_tenant_does_not_starve_another(office: Office) -> None:
    await start(office, ["noisy"] * PART, tenant="noisy")
    await start(office, ["more of it"] * 20, tenant="noisy")
    quiet = await start(office, ["quiet"] * 20, tenant="quiet")
    served = await served_until(quiet, office)
    # In turns from the first to the last; the same load of the noisy tenant, though it came earlier, waits.
    assert served[:40] == ["noisy", "quiet"] * 20
    assert "more of it" not in served


async def served_until(run: WorkflowHandle[Any, RunResult], office: Office) -> list[str]:
    """Whose item each call was, in order, of a worker that does one at a time until it is told that this run ended."""
    async with tools_worker(office, 1) as worker:
        async with asyncio.timeout(60):
            await run.result()
        return [what for _, _, what in worker.ledger]


@pytest.mark.parametrize(("workers", "turns"), [(1, 4), (2, 2)])
async def test_two_workers_do_twice_the_work_of_one(office: Office, workers: int, turns: int) -> None:
    """20 steps that last equally long, in so many turns: in each, every slot of every worker is at one of them."""
    run = await start(office, ["held"] * 20, text=HELD)
    async with AsyncExitStack() as stack:
        does = [await stack.enter_async_context(tools_worker(office, 5)) for _ in range(workers)]
        for turn in range(1, turns + 1):
            for each in does:
                await until_begun(each, 5 * turn)
            for each in does:
                for step in each.started:
                    each.gates[step].set()
        await run.result()
    assert [len(each.ledger) for each in does] == [5 * turns] * workers


async def until_begun(office: Office, calls: int) -> None:
    async with asyncio.timeout(60):
        while (begun := sum(gate.is_set() for gate in office.started.values())) < calls:
            await asyncio.sleep(0.02)
    assert begun == calls


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
