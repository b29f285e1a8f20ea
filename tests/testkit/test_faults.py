"""Faults of the kit: a worker that dies does so within the test, and its run goes on as after any worker's death."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from uuid_utils import uuid7

from activities.faults.dice import Dice
from contracts.errors import SettingsInvalid
from contracts.faults import Faults, ModelFaults
from contracts.names import PROCESS_WORKFLOW
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.settings import Settings
from testkit import OpenTrial
from testkit.dying import Deaths
from testkit.opening import open_trial
from worker import running_worker

INVOICES = "processes/invoice-approval"
SMALL = {"invoice_id": "INV-2042", "amount": 420, "supplier": "Halden Office"}
PROCESS = """\
process: two-at-once
steps:
  slow: {tool: desk.take_long}
  quick: {tool: desk.stamp}
  once: {needs: [slow, quick], tool: desk.pay}
"""
TOOLS = '''\
import asyncio

from contracts.tools import ToolContext, tool

both = asyncio.Event()


@tool(name="desk.take_long", effect="read")
async def take_long(ctx: ToolContext) -> int:
    """Take for ever when it is first tried."""
    both.set()
    if ctx.attempt == 1:
        await asyncio.Event().wait()
    return ctx.attempt


@tool(name="desk.stamp", effect="write", idempotent=True)
async def stamp() -> str:
    """Stamp, while the other is at work."""
    await both.wait()
    return "stamped"


@tool(name="desk.pay", effect="write", idempotent=False)
def pay() -> str:
    """Pay, which must not be done twice."""
    return "paid"
'''


async def test_a_worker_that_dies_costs_no_effect_and_none_is_made_under_another_key(trial: OpenTrial) -> None:
    points = ("before", "between", "after")
    desk = await trial(INVOICES, faults=Faults(namespace="default", at=tuple(f"{each}/pay:{each}" for each in points)))
    for point in points:
        run = await desk.start(SMALL, run=point)
        assert (await run.ended()).status == "completed"
    made = [(call.key, call.attempt) for call in desk.calls("bank.transfer")]
    assert made == [("before/pay", 2), ("between/pay", 1), ("between/pay", 2), ("after/pay", 1)]
    assert len(desk.effects("bank.transfer")) == 3


async def test_whatever_else_a_worker_has_at_work_dies_with_it(trial: OpenTrial, tmp_path: Path) -> None:
    desk = await trial(
        two_at_once(tmp_path), faults=Faults(namespace="default", at=("*/quick:after", "*/once:between"))
    )
    run = await desk.start()
    view = await run.parks("once")
    assert [call.attempt for call in desk.calls("desk.take_long")] == [1, 2]
    assert [call.attempt for call in desk.calls("desk.stamp")] == [1]
    assert [call.attempt for call in desk.calls("desk.pay")] == [1]
    assert view.incidents[0].error.type == "OutcomeUnknown"
    assert "desk.pay: the worker that ran it was lost" in view.incidents[0].error.message


async def test_after_a_death_nobody_remembers_a_run(client: Client, tmp_path: Path) -> None:
    queue, faults = f"test-{uuid7()}", Faults(namespace="default", at=("*/quick:after",))
    settings = Settings(home=tmp_path, task_queue=queue, faults=faults)
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    catalog = Catalog.load([two_at_once(tmp_path)])
    deaths = Deaths(Dice(faults, tmp_path / "faults.log"))
    async with running_worker(settings, connection, catalog, deaths=deaths), asyncio.timeout(60):
        run = await client.start_workflow(PROCESS_WORKFLOW, {"process": "two-at-once"}, id=queue, task_queue=queue)
        await run.result()
    assert await queues_of_tasks(run) == {queue}  # and not that of a worker which has the run in memory


@pytest.mark.slow
async def test_a_share_of_deaths_is_lived_through(trial: OpenTrial, tmp_path: Path) -> None:
    desk = await trial(INVOICES, faults=Faults(namespace="default", seed=1, kill=0.3))
    run = await desk.start(SMALL, run="dying")
    assert (await run.ended()).status == "completed"
    assert len(desk.effects("bank.transfer")) == 1
    # With this seed; should steps come to be called otherwise, another will do.
    assert ("before", "dying/pay") in made_in(tmp_path)


async def test_a_place_that_nothing_came_to_is_told_with_those_that_something_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    faults = Faults(namespace="default", at=("*/pay:lost", "*/pya:between"))
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(open_trial(Path(INVOICES), tmp_path, None, faults))
        run = await desk.start(SMALL, run="mine")
        assert (await run.ended()).status == "completed"
        with pytest.raises(AssertionError, match=r"no fault was made at \*/pya:between; what began is .*mine/pay"):
            await stack.aclose()


async def test_faults_of_models_are_refused_where_a_script_answers(trial: OpenTrial) -> None:
    with pytest.raises(SettingsInvalid, match=r"^faults\.model: in a trial a script answers for models .*desk\.says"):
        await trial(INVOICES, faults=Faults(namespace="default", model=ModelFaults(busy=1)))


def made_in(home: Path) -> set[tuple[str, ...]]:
    journals = [journal.read_text() for journal in home.glob("faults-*.log")]
    return {tuple(line.split()) for journal in journals for line in journal.splitlines()}


async def queues_of_tasks(run: WorkflowHandle[Any, Any]) -> set[str]:
    events = (await run.fetch_history()).events
    scheduled = [event.workflow_task_scheduled_event_attributes for event in events]
    return {each.task_queue.name for each in scheduled if each.HasField("task_queue")}


def two_at_once(folder: Path) -> Path:
    process = folder / "processes" / "two-at-once"
    process.mkdir(parents=True)
    (process / "process.yaml").write_text(PROCESS)
    (process / "tools.py").write_text(TOOLS)
    return process
