"""kill -9, of the worker and of the server, at many moments of the onboarding: it completes, every effect exactly once.

Real processes, the real server, the real sample database.
"""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.names import DECIDE, PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunResult, RunView
from runtime.client import data_converter

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

PROJECT = Path(__file__).parents[2]
SAMPLE = yaml.safe_load((PROJECT / "processes/employee-onboarding/sample.yaml").read_text())
EFFECTS = 11
"""Of the sample: a record, three courses, four accounts, a meeting, a machine, a mail."""


@dataclass
class Business:
    """A worker with its embedded server in a home folder, and the sample company's ledger."""

    home: Path
    worker: "subprocess.Popen[bytes] | None" = None
    logs: list[Any] = field(default_factory=list)

    def start_worker(self) -> None:
        log = (self.home / f"worker-{len(self.logs)}.log").open("wb")
        self.logs.append(log)
        environment = {**os.environ, "SUREFOOT_HOME": str(self.home), "SUREFOOT_PACE": "0.4"}
        self.worker = subprocess.Popen(
            [sys.executable, str(PROJECT / "worker.py")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.home,
        )

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def kill_server(self) -> None:
        os.kill(self.server["pid"], signal.SIGKILL)

    def stop(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(60)
        for log in self.logs:
            log.close()

    @property
    def server(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        return found

    def effects(self) -> list[tuple[str, int]]:
        """Every key in the ledger with how often it is there."""
        file = self.home / "business.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file, timeout=20)) as connection:
            try:
                return connection.execute("SELECT key, count(*) FROM effects GROUP BY key").fetchall()
            except sqlite3.OperationalError:  # the tables are made by the first call
                return []

    async def client(self) -> Client:
        connected: Client = await eventually(self._connected, lambda client: client is not None)
        return connected

    async def _connected(self) -> Client | None:
        try:
            return await Client.connect(self.server["address"], data_converter=data_converter())
        except (OSError, ValueError, RuntimeError):
            return None


async def eventually(look: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 90) -> Any:
    """What `look` gives once this holds of it."""
    async with asyncio.timeout(seconds):
        while not holds(seen := await look()):
            await asyncio.sleep(0.05)
        return seen


@pytest_asyncio.fixture
async def business(tmp_path: Path) -> AsyncIterator[Business]:
    opened = Business(tmp_path)
    opened.start_worker()
    yield opened
    opened.stop()


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
            seen: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
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
