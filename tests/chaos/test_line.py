"""A test of the tests: what a bad line does to a real client of it, and that runs come through one."""

from pathlib import Path

import httpx2
import pytest

from tests.chaos.line import Fault, open_line
from tests.chaos.play import Stage, play
from tests.chaos.schedule import Schedule
from tests.endpoint import open_endpoint

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


async def ask(fault: Fault | None) -> tuple[str, list[Fault]]:
    """The content of the answer, and the faults that were made."""
    with open_endpoint() as endpoint:
        endpoint.say("hello " * 1_000)
        async with (
            open_line(endpoint.url, 1, {fault: 1.0} if fault else {}) as line,
            httpx2.AsyncClient(timeout=0.5 if fault == "silent" else 60) as client,
        ):
            answer = await client.post(f"{line.url}/chat/completions", json=ASKED)
            content: str = answer.json()["choices"][0]["message"]["content"]
            return content, line.faults


async def test_a_good_line_carries_all_and_a_dripping_one_does_so_slowly() -> None:
    assert await ask(None) == ("hello " * 1_000, [])
    content, faults = await ask("drip")
    assert content == "hello " * 1_000
    assert {*faults} == {"drip"}


async def test_a_line_is_reset_or_falls_silent_in_the_middle_of_an_answer() -> None:
    with pytest.raises(httpx2.ReadError):
        await ask("reset")
    with pytest.raises(httpx2.ReadTimeout):
        await ask("silent")


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_a_run_comes_through_a_bad_line(stage: Stage, tmp_path: Path) -> None:
    schedule = Schedule.calm("supplier-onboarding", "approve").model_copy(update={"seed": 2, "bad_line": True})
    played = await play(stage, schedule, tmp_path / "world")
    assert played.broken == []
    assert {run: view.status for run, view in played.views.items()} == {"supplier-onboarding-m": "completed"}
    assert "line.reset" in {fault for fault, _ in played.faults}
