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
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Replayer

from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunResult
from runtime.sandbox import workflow_runner
from tests.business import PROJECT, eventually
from tests.chaos.newer_worker import call_after_a_moment
from workflows.registered import WORKFLOWS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

TOOLS = '''
import asyncio, json, os
from pathlib import Path
from contracts.tools import ToolContext, tool

HOME = Path(os.environ["SUREFOOT_HOME"])

def note(ctx, what):
    with (HOME / "ledger").open("a") as ledger:
        line = {"build": os.environ["SUREFOOT_BUILD_ID"], "worker": os.getpid(), "run": ctx.run, "step": ctx.step}
        ledger.write(json.dumps({**line, "what": what}) + "\\n")

@tool(name="load.work", effect="write", idempotent=True)
def work(ctx: ToolContext) -> None:
    """Work."""
    note(ctx, "begin")
    note(ctx, "end")

@tool(name="load.pass", effect="write", idempotent=True, timeout="300s")
async def through(ctx: ToolContext) -> None:
    """Wait at the gate until it is open."""
    note(ctx, "begin")
    while not (HOME / "open").exists():
        await asyncio.sleep(0.05)
    note(ctx, "end")
'''
PROCESS = """
process: load
steps:
  before: {tool: load.work}
  gate: {tool: load.pass, needs: [before]}
  after: {tool: load.work, needs: [gate]}
"""
CALLS = 3 * 2
"""Lines of the ledger that a run leaves: of each step, that it begins and that it ends."""


Load = WorkflowHandle[Any, RunResult]
NEWER = Path(__file__).with_name("newer_worker.py")


@dataclass
class Fleet:
    """Workers of any build as processes of their own, on one queue of the tests' server."""

    client: Client
    home: Path
    queue: str
    environment: dict[str, str]
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    async def start_worker(self, build_id: str, program: Path = PROJECT / "worker.py") -> "subprocess.Popen[bytes]":
        """One that is at work."""
        with self.log(len(self.workers)).open("wb") as log:
            worker = subprocess.Popen(  # noqa: ASYNC220 -- it outlives the test's loop when the test fails
                [sys.executable, str(program)],
                env={**self.environment, "SUREFOOT_BUILD_ID": build_id},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        await self.until_said(len(self.workers) - 1, "is ready")
        return worker

    def log(self, number: int) -> Path:
        return self.home / f"worker-{number}.log"

    async def until_said(self, number: int, text: str) -> None:
        """Until the worker of this number has said so."""

        async def said() -> str:
            return await asyncio.to_thread(self.log(number).read_text)

        await eventually(said, lambda log: text in log)

    async def deploy(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, str(PROJECT / "starter.py"), "deploy", *words, "--json"]
        ended = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await ended.communicate()
        assert ended.returncode == 0, err.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    async def start(self, count: int) -> list[Load]:
        return [
            await self.client.start_workflow(
                PROCESS_WORKFLOW,
                {"process": "load"},
                id=f"load-{uuid4()}",
                task_queue=self.queue,
                result_type=RunResult,
            )
            for _ in range(count)
        ]

    async def until_at_the_gate(self, runs: list[Load]) -> None:
        async def arrived() -> set[str]:
            return {line["run"] for line in self.ledger() if line["step"] == "gate"}

        await eventually(arrived, lambda found: {run.id for run in runs} <= found)

    def open_gate(self) -> None:
        (self.home / "open").touch()

    def ledger(self) -> list[dict[str, Any]]:
        """Build, process id of the worker, run, step and what, of every call."""
        file = self.home / "ledger"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def builds_of(self, runs: list[Load]) -> set[str]:
        ids = {run.id for run in runs}
        return {line["build"] for line in self.ledger() if line["run"] in ids}

    async def replay(self, run: Load) -> None:
        converter = self.client.data_converter
        replayer = Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=converter)
        await replayer.replay_workflow(await run.fetch_history())

    def check_ledger(self, runs: list[Load]) -> None:
        """Every call of every run began once and ended once."""
        calls = Counter((line["run"], line["step"], line["what"]) for line in self.ledger())
        assert (len(calls), set(calls.values())) == (len(runs) * CALLS, {1})


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
    await fleet.start_worker("v1")
    await fleet.deploy("promote", "v1")
    before = await fleet.start(10)
    await fleet.until_at_the_gate(before)
    await fleet.start_worker("v2", NEWER)
    await fleet.deploy("ramp", "v2", "--percent", "50")
    ramped = await fleet.start(30)
    _, meanwhile = await asyncio.gather(fleet.deploy("promote", "v2"), fleet.start(10))
    after = await fleet.start(10)
    # Which are all on their way when new runs go to the first build again.
    await fleet.until_at_the_gate([*ramped, *meanwhile, *after])
    await fleet.deploy("rollback")
    back = await fleet.start(10)
    await fleet.until_at_the_gate(back)
    fleet.open_gate()
    runs = [*before, *ramped, *meanwhile, *after, *back]
    assert {(await run.result()).status for run in runs} == {"completed"}
    assert [fleet.builds_of(group) for group in (before, after, back)] == [{"v1"}, {"v2"}, {"v1"}]
    assert fleet.builds_of(ramped) == {"v1", "v2"}
    assert [run.id for run in runs if len(fleet.builds_of([run])) != 1] == []
    fleet.check_ledger(runs)
    await fleet.replay(before[0])
    # What would have become of it on the other build:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflows.steps.tool.call_tool", call_after_a_moment)
        with pytest.raises(workflow.NondeterminismError):
            await fleet.replay(before[0])


async def test_a_worker_that_is_told_to_stop_finishes_what_it_does_and_takes_nothing_new(fleet: Fleet) -> None:
    first = await fleet.start_worker("v1")
    await fleet.deploy("promote", "v1")
    runs = await fleet.start(20)
    await fleet.until_at_the_gate(runs)
    second = await fleet.start_worker("v1")
    first.send_signal(signal.SIGTERM)
    await fleet.until_said(0, "stopping")
    fleet.open_gate()
    assert await asyncio.to_thread(first.wait, 60) == 0
    assert {(await run.result()).status for run in runs} == {"completed"}
    workers = {step: {line["worker"] for line in fleet.ledger() if line["step"] == step} for step in ("gate", "after")}
    assert workers == {"gate": {first.pid}, "after": {second.pid}}
    fleet.check_ledger(runs)
