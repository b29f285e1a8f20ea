"""A staging worker whose `surefoot.toml` switches faults on: it kills itself, activities begin late and lose their
answers, its model endpoint has a bad day. Something starts it again, and the run completes, every effect once."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE
from contracts.run import RunResult
from tests.business import Business, eventually
from tests.endpoint import Answered, completion, open_endpoint

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

RUN = "rounds-1"
PROCESS = """
process: rounds
agents:
  clerk: {instructions: Say it again.}
steps:
  first: {tool: mail.send, with: {to: ann@example.com, body: one}}
  second: {needs: [first], tool: mail.send, with: {to: ben@example.com, body: two}}
  third: {needs: [second], tool: mail.send, with: {to: cem@example.com, body: three}}
  ask: {needs: [third], for_each: [1, 2, 3, 4], agent: clerk, task: "say ${ item }"}
"""
SETTINGS = """
processes = ["{folder}"]

[models.default]
model = "m"
base_url = "{url}"
probe_every = "1s"

[faults]
namespace = "default"
seed = 2337958
late = 0.2
longest = "200ms"
lost = 0.3
kill = 0.3

[faults.model]
busy = 0.3
garbage = 0.15
"""
"""With this seed the worker dies before `first`, and between `second` and its completion, and the answer of `third` is
lost; what else falls, and which requests to the model, is as the shares have it. Should steps or requests come to be
called otherwise, another seed will do."""
SURE = {("before", f"{RUN}/first"), ("between", f"{RUN}/second"), ("lost", f"{RUN}/third")}
BY_SHARE = {"late", "model.busy", "model.garbage"}
KILLS = ("before", "between", "after")


async def start_again(home: Business, statuses: list[int]) -> None:
    """Whenever the worker has died. `statuses`: with which it did."""
    while True:
        assert home.worker is not None
        if (status := home.worker.poll()) is not None:
            statuses.append(status)
            home.start_worker()
        await asyncio.sleep(0.05)


async def made_in(home: Path) -> list[tuple[str, str]]:
    """The faults that were made, each with its place."""
    lines = (await asyncio.to_thread((home / "faults.log").read_text)).splitlines()
    return [(fault, place) for fault, _, place in (line.partition(" ") for line in lines)]


def kills(made: list[tuple[str, str]]) -> int:
    return sum(fault in KILLS for fault, _ in made)


async def test_shares_of_a_settings_file_reach_a_worker_and_its_run_completes(
    home: Business, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "processes" / "rounds"
    folder.mkdir(parents=True)
    (folder / "process.yaml").write_text(PROCESS)
    file = tmp_path / "surefoot.toml"
    monkeypatch.setenv("SUREFOOT_CONFIG", str(file))
    statuses: list[int] = []
    with open_endpoint() as endpoint:
        endpoint.default = lambda asked: Answered(body=json.dumps(completion(asked, "yes", usage=(100, 20))))
        file.write_text(SETTINGS.format(folder=folder.parent, url=endpoint.url))
        home.start_worker()
        client = await home.client()
        keeper = asyncio.create_task(start_again(home, statuses))
        handle: WorkflowHandle[Any, RunResult] = await client.start_workflow(
            PROCESS_WORKFLOW, {"process": "rounds"}, id=RUN, task_queue=TASK_QUEUE, result_type=RunResult
        )
        assert (await handle.result()).status == "completed"
        # A worker that died of its last call may not be missed yet.
        made = await eventually(lambda: made_in(tmp_path), lambda made: kills(made) == len(statuses))
        keeper.cancel()
        await asyncio.wait([keeper])
    assert {*made} >= SURE
    assert {fault for fault, _ in made} >= BY_SHARE
    assert statuses == [-signal.SIGKILL] * kills(made)
    assert sorted(home.effects()) == [(f"{RUN}/{step}", 1) for step in ("first", "second", "third")]
