"""kill -9, of the worker and of the server, at many moments of the onboarding: it completes, every effect exactly once.

Real processes, the real server, the real sample database.
"""

from datetime import timedelta
from typing import Any

import pytest
import yaml
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.names import DECIDE, PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunResult, RunView
from tests.business import PROJECT, Business, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

SAMPLE = yaml.safe_load((PROJECT / "processes/employee-onboarding/sample.yaml").read_text())
ANSWERS_WITHIN = timedelta(seconds=5)
EFFECTS = 11
"""Of the sample: a record, three courses, four accounts, a meeting, a machine, a mail."""


async def start(business: Business) -> WorkflowHandle[Any, RunResult]:
    client = await business.client()
    payload = {"process": "employee-onboarding", "input": SAMPLE, "started_by": "user:hanna"}
    return await client.start_workflow(
        PROCESS_WORKFLOW, payload, id="employee-onboarding-chaos", task_queue=TASK_QUEUE, result_type=RunResult
    )


async def after_effects(business: Business, count: int) -> None:
    async def effects() -> int:
        return len(business.effects())

    await eventually(effects, lambda found: found >= count)


async def approve(handle: WorkflowHandle[Any, RunResult]) -> None:
    """As soon as the run asks, however often the server or the worker has to come back first."""

    async def view() -> RunView | None:
        try:
            # One that was given to a worker which died is asked again, and not waited for.
            seen: RunView = await handle.query(VIEW_QUERY, result_type=RunView, rpc_timeout=ANSWERS_WITHIN)
        except (RPCError, WorkflowQueryFailedError):
            return None
        return seen

    await eventually(view, lambda seen: seen is not None and bool(seen.waiting))
    decision = {"step": "hardware_approval", "decision": "approve", "by": "user:mia", "id": "chaos-1"}

    async def decided() -> bool:
        try:
            await handle.signal(DECIDE, decision)
        except RPCError:
            return False
        return True

    await eventually(decided, bool)


async def result(handle: WorkflowHandle[Any, RunResult]) -> RunResult:
    async def ended() -> RunResult | None:
        try:
            return await handle.result()
        except RPCError:
            return None

    found: RunResult = await eventually(ended, lambda seen: seen is not None, seconds=150)
    return found


def assert_every_effect_once(business: Business) -> None:
    effects = business.effects()
    assert len(effects) == EFFECTS
    assert {count for _, count in effects} == {1}
    assert all(key.startswith("employee-onboarding-chaos/") for key, _ in effects)


@pytest.mark.parametrize("effects", [0, 1, 4, 8])
async def test_a_killed_worker_started_again_completes_the_run(business: Business, effects: int) -> None:
    handle = await start(business)
    await after_effects(business, effects)
    business.kill_worker()
    business.start_worker()
    await approve(handle)
    assert (await result(handle)).status == "completed"
    assert_every_effect_once(business)


async def test_a_worker_killed_right_after_the_decision_completes_the_run(business: Business) -> None:
    handle = await start(business)
    await approve(handle)
    business.kill_worker()
    business.start_worker()
    assert (await result(handle)).status == "completed"
    assert_every_effect_once(business)


@pytest.mark.parametrize("effects", [1, 6])
async def test_a_killed_server_comes_back_and_the_run_completes(business: Business, effects: int) -> None:
    handle = await start(business)
    await after_effects(business, effects)
    business.kill_server()
    await approve(handle)
    assert (await result(handle)).status == "completed"
    assert_every_effect_once(business)


async def test_killing_both_at_once_loses_nothing(business: Business) -> None:
    handle = await start(business)
    await after_effects(business, 3)
    business.kill_server()
    business.kill_worker()
    business.start_worker()
    client = await business.client()
    again: WorkflowHandle[Any, RunResult] = client.get_workflow_handle(handle.id, result_type=RunResult)
    await approve(again)
    assert (await result(again)).status == "completed"
    assert_every_effect_once(business)
