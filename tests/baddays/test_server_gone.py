"""The Temporal server is gone for a while: workers and commands come back by themselves, and no effect is doubled."""

import asyncio
from pathlib import Path

import pytest

from tests.baddays.house import NAME, House
from tests.baddays.tools import TOOLS
from tests.business import eventually

PROCESS = f"""
process: {NAME}
steps:
  before: {{tool: day.work}}
  repeatable: {{tool: day.held, needs: [before]}}
  single: {{tool: day.once, needs: [before]}}
  pause: {{wait: 5s, needs: [before]}}
  later: {{tool: day.work, needs: [pause]}}
  ok:
    needs: [repeatable, later]
    approval: {{title: Go on?, from: [{{any_of: ["user:alice"]}}]}}
  after: {{tool: day.work, needs: [ok, single]}}
"""


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(240)]),
        pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(1_200)]),
    ],
)
async def test_a_server_that_is_gone_holds_everything_up_and_loses_nothing(house: House, seconds: int) -> None:
    house.write(PROCESS, TOOLS)
    house.start_server()
    await house.client()
    worker = house.start_worker()
    run = await house.start_run("1")
    watching = house.starter("status", run, "--watch")
    began = [house.home / f"began-{step}" for step in ("repeatable", "single")]
    ended = [house.home / f"ended-{step}" for step in ("repeatable", "single")]
    await eventually(lambda: _are_there(*began), bool)
    await eventually(lambda: _is_watched(house), bool)

    house.kill_server()
    (house.home / "go").touch()
    await eventually(lambda: _are_there(*ended), bool)
    while_away = await house.say("status", run)
    assert while_away.status == 3
    assert f"the Temporal server at {house.address} cannot be reached" in while_away.err
    await asyncio.sleep(seconds)
    assert (worker.poll(), watching.poll()) == (None, None), house.log("starter.log")

    house.start_server()
    view = await house.until(run, "attention", 180)
    (incident,) = view["incidents"]
    assert incident["step"] == "single"
    assert "Whether day.once took effect is unknown (key day-1/single)" in incident["error"]["message"]
    said = await house.say(
        "repair", run, "single", "complete", "--value", '"seen in the books"', "--reason", "it is there"
    )
    assert said.status == 0, said.err
    await house.until_view(run, lambda view: "ok" in [wait["step"] for wait in view.get("waiting", ())], 180)
    assert (await house.say("approve", run, "ok", "--by", "alice")).status == 0
    await house.until(run, "completed", 180)
    assert await asyncio.to_thread(watching.wait, 60) == 0
    assert worker.poll() is None
    assert house.times() == {"before": 1, "repeatable": 1, "single": 1, "later": 1, "after": 1}
    told = house.log("starter.log")
    assert f"the server at {house.address} does not answer; this goes on once it does" in told
    assert "gRPC" not in told


async def _is_watched(house: House) -> bool:
    return bool(house.log("starter.log"))


async def _are_there(*files: Path) -> bool:
    return all(file.exists() for file in files)
