"""Two builds of real workers: there and back under load, no run fails or changes its build; SIGTERM loses nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle

from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunResult
from tests.business import PROJECT, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

TOOLS = '''
import json, os, time
from pathlib import Path
from contracts.tools import ToolContext, tool

def note(ctx, what):
    with (Path(os.environ["SUREFOOT_HOME"]) / "ledger").open("a") as ledger:
        ledger.write(json.dumps([os.environ["SUREFOOT_BUILD_ID"], ctx.run, ctx.step, what]) + "\\n")

@tool(name="load.work", effect="write", idempotent=True, timeout="60s")
def work(ctx: ToolContext, seconds: float) -> None:
    """Work for a while."""
    note(ctx, "begin")
    time.sleep(seconds)
    note(ctx, "end")
'''
PROCESS = """
process: load
input: {type: object, required: [seconds], properties: {seconds: {type: number}}}
steps:
  a: {tool: load.work, with: {seconds: "${ input.seconds }"}}
  pause: {wait: 1s, needs: [a]}
  b: {tool: load.work, needs: [pause], with: {seconds: "${ input.seconds }"}}
"""


@dataclass
class Fleet:
    """Workers of any build as processes of their own, on one queue of the tests' server."""

    client: Client
    home: Path
    queue: str
    environment: dict[str, str]
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start_worker(self, build_id: str) -> "subprocess.Popen[bytes]":
        with (self.home / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(PROJECT / "worker.py")],
                env={**self.environment, "SUREFOOT_BUILD_ID": build_id},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    async def deploy(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, str(PROJECT / "starter.py"), "deploy", *words, "--json"]
        ended = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await ended.communicate()
        assert ended.returncode == 0, err.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    async def start(self, count: int, seconds: float = 0.1) -> list[WorkflowHandle[Any, RunResult]]:
        return [
            await self.client.start_workflow(
                PROCESS_WORKFLOW,
                {"process": "load", "input": {"seconds": seconds}},
                id=f"load-{uuid4()}",
                task_queue=self.queue,
                result_type=RunResult,
            )
            for _ in range(count)
        ]

    def ledger(self) -> list[tuple[str, str, str, str]]:
        """Build, run, step and what, of every call."""
        file = self.home / "ledger"
        return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    def builds_of(self, runs: list[WorkflowHandle[Any, RunResult]]) -> set[str]:
        ids = {run.id for run in runs}
        return {build for build, run, _, _ in self.ledger() if run in ids}


@pytest_asyncio.fixture
async def fleet(client: Client, tmp_path: Path) -> AsyncIterator[Fleet]:
    folder = tmp_path / "processes" / "load"
    folder.mkdir(parents=True)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "process.yaml").write_text(PROCESS)
    name = uuid4().hex
    made = Fleet(
        client,
        tmp_path,
        name,
        {
            **os.environ,
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "SUREFOOT_HOME": str(tmp_path),
            "SUREFOOT_PROCESSES": str(folder.parent),
            "SUREFOOT_TASK_QUEUE": name,
            "SUREFOOT_DEPLOYMENT": f"fleet-{name}",
        },
    )
    yield made
    for worker in made.workers:
        worker.terminate()
    for worker in made.workers:
        worker.wait(60)


async def test_there_and_back_under_load_no_run_fails_and_each_ends_on_its_build(fleet: Fleet) -> None:
    fleet.start_worker("v1")
    await fleet.deploy("promote", "v1")
    before = await fleet.start(10)
    fleet.start_worker("v2")
    await fleet.deploy("ramp", "v2", "--percent", "50")
    ramped = await fleet.start(30)
    await fleet.deploy("promote", "v2")
    after = await fleet.start(10)
    await fleet.deploy("rollback")
    back = await fleet.start(10)
    runs = [*before, *ramped, *after, *back]
    assert {(await run.result()).status for run in runs} == {"completed"}
    assert [fleet.builds_of(group) for group in (before, after, back)] == [{"v1"}, {"v2"}, {"v1"}]
    assert fleet.builds_of(ramped) == {"v1", "v2"}
    assert [run.id for run in runs if len(fleet.builds_of([run])) != 1] == []
    calls = Counter((run, step, what) for _, run, step, what in fleet.ledger())
    assert (len(calls), set(calls.values())) == (len(runs) * 4, {1})


async def test_a_worker_that_is_told_to_stop_finishes_what_it_does(fleet: Fleet) -> None:
    worker = fleet.start_worker("v1")
    await fleet.deploy("promote", "v1")
    (run,) = await fleet.start(1, seconds=3)

    async def steps_begun() -> int:
        return len(fleet.ledger())

    await eventually(steps_begun, lambda begun: begun == 1)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 60) == 0
    assert [(step, what) for _, _, step, what in fleet.ledger()] == [("a", "begin"), ("a", "end")]
    fleet.start_worker("v1")
    assert (await run.result()).status == "completed"
    assert [(step, what) for _, _, step, what in fleet.ledger()][2:] == [("b", "begin"), ("b", "end")]
