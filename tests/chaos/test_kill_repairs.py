"""kill -9 of the worker around repairs: what was acknowledged counts, nothing is done twice."""

from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from contracts.names import PROCESS_WORKFLOW, REPAIR, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunResult, RunView
from tests.business import Business, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

PROCESS = """
process: late-hire
steps:
  record:
    tool: hris.create_employee
    with: {name: Ada, role: engineer, start_date: "2026-12-01", manager: Mia}
    undo: {tool: hris.withdraw_employee, with: {employee: "${ output.id }"}}
  order:
    tool: helpdesk.order_hardware
    with: {employee: "${ steps.record.output.id }", sku: none, price: 1}
  accounts:
    needs: [order]
    for_each: [email, chat]
    tool: directory.create_account
    with: {employee: "${ steps.record.output.id }", system: "${ item }"}
"""
RIGHT = {"employee": "E-1001", "sku": "NB-14", "price": 1380.0}


@pytest.fixture
def late_hire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "more" / "late-hire"
    folder.mkdir(parents=True)
    (folder / "process.yaml").write_text(PROCESS)
    monkeypatch.setenv("SUREFOOT_PROCESSES", str(folder.parent))


async def parked(client: Client) -> WorkflowHandle[Any, RunResult]:
    """A run whose order is an incident."""
    handle = await client.start_workflow(
        PROCESS_WORKFLOW, {"process": "late-hire"}, id="late-hire-1", task_queue=TASK_QUEUE, result_type=RunResult
    )
    await seen(handle, lambda view: bool(view.incidents))
    return handle


async def seen(handle: WorkflowHandle[Any, RunResult], holds: Any) -> RunView:
    async def look() -> RunView | None:
        try:
            found: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
        except Exception:  # noqa: BLE001 -- no worker answers yet, or the run is still to begin
            return None
        return found

    view: RunView = await eventually(look, lambda view: view is not None and holds(view))
    return view


def repaired(action: str, **more: Any) -> dict[str, Any]:
    return {"step": "order", "action": action, "by": "user:tom", "id": f"once-{action}", **more}


@pytest.mark.usefixtures("late_hire")
async def test_an_incident_outlives_a_killed_worker_and_its_repair_too(business: Business) -> None:
    handle = await parked(await business.client())
    business.kill_worker()
    business.start_worker()
    view = await seen(handle, lambda view: bool(view.incidents))
    assert [tried.times for tried in view.incidents[0].tried] == [1]
    await handle.execute_update(REPAIR, repaired("amend", value=RIGHT))
    business.kill_worker()
    business.start_worker()
    assert (await handle.result()).status == "completed"
    assert [key for key, count in business.effects() if count > 1] == []
    assert {key for key, _ in business.effects()} == {
        "late-hire-1/record",
        "late-hire-1/order~1",
        "late-hire-1/accounts[0]",
        "late-hire-1/accounts[1]",
    }


@pytest.mark.usefixtures("late_hire")
async def test_a_repair_by_signal_while_no_worker_lives_counts_once(business: Business) -> None:
    handle = await parked(await business.client())
    business.kill_worker()
    for _ in range(3):
        await handle.signal(REPAIR, repaired("amend", value=RIGHT))
    business.start_worker()
    assert (await handle.result()).status == "completed"
    assert {count for _, count in business.effects()} == {1}
    assert len(business.effects()) == 4


@pytest.mark.usefixtures("late_hire")
async def test_a_pause_outlives_a_killed_worker(business: Business) -> None:
    handle = await parked(await business.client())
    await handle.execute_update(REPAIR, {"action": "pause", "by": "user:tom"})
    await handle.execute_update(REPAIR, repaired("amend", value=RIGHT))
    business.kill_worker()
    business.start_worker()
    view = await seen(handle, lambda view: view.paused is not None)
    assert len(business.effects()) == 1, view
    await handle.execute_update(REPAIR, {"action": "resume", "by": "user:tom"})
    assert (await handle.result()).status == "completed"
    assert len(business.effects()) == 4
