"""A worker whose clock is an hour off: runs go by the server's clock and are as they would be; messages that the worker
signs are refused by whoever checks them, which is told, and can be sent again once the clock is right."""

import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.baddays.house import NAME, House, end
from tests.baddays.tools import TOOLS
from tests.business import COMMANDS_APART, eventually
from tests.service import Answer, Request, Service, open_service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        shutil.which("faketime") is None, reason="no faketime here (Debian, Ubuntu: apt install faketime)"
    ),
]

PROCESS = f"""
process: {NAME}
on: [{{event: day.begins}}]
agents: {{clerk: {{instructions: You are a clerk., limits: {{time: 10m}}}}}}
limits: {{time: 50m}}
steps:
  work: {{tool: day.work, deadline: 20m}}
  think: {{agent: clerk, task: Think., needs: [work]}}
  pause: {{wait: 1s, needs: [think]}}
  later: {{event: day.ends, within: 40m, needs: [pause]}}
  ok:
    needs: [pause]
    approval: {{title: Go on?, expires: 30m, remind: 20m, from: [{{any_of: ["user:alice"]}}]}}
  last: {{tool: day.work, needs: [ok, later]}}
"""
REHEARSAL = "agents: {clerk: [{answer: done}]}"
TOLERANCE = 300
"""Seconds, as the libraries of Standard Webhooks have it."""


@pytest.fixture
def receiver() -> Iterator[Service]:
    def answer(request: Request) -> Answer:
        off = abs(float(request.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp())
        return Answer({}) if off < TOLERANCE else Answer({"error": "message timestamp too old or too new"}, status=400)

    with open_service() as opened:
        opened.answer = answer
        yield opened


@pytest.mark.parametrize(("off", "said"), [("+1h", "60 minutes ahead of"), ("-1h", "60 minutes behind")])
async def test_a_run_is_as_it_would_be_and_a_signed_message_waits_for_the_right_time(
    house: House, receiver: Service, off: str, said: str
) -> None:
    house.write(PROCESS, TOOLS, REHEARSAL)
    house.tell_at(receiver.base)
    house.start_server()
    await house.client()
    worker = house.start_worker({"DONT_FAKE_MONOTONIC": "1"}, before=("faketime", "-f", off))
    await house.until_it_works()
    assert (await house.say("event", "day.begins", "{}", "--id", "E-1")).status == 0
    run = f"{NAME}-E-1"
    view = await house.until_view(run, lambda view: len(view.get("waiting", ())) == 2)
    waits = {wait["step"]: wait for wait in view["waiting"]}
    now = datetime.now(UTC)
    for step, lasts in (("ok", timedelta(minutes=30)), ("later", timedelta(minutes=40))):
        since, until = (datetime.fromisoformat(waits[step][key]) for key in ("since", "until"))
        assert abs(since - now) < timedelta(minutes=5)
        assert abs(until - since - lasts) < timedelta(seconds=10)

    async def dead() -> Any:
        return (await house.say("notices", "--dead", "--json")).json["notices"]

    (letter,) = await eventually(dead, bool, apart=COMMANDS_APART)
    assert "message timestamp too old or too new" in letter["error"]
    assert f"this machine's clock is {said} the server's" in house.log()

    end(worker, signal.SIGTERM)
    house.start_worker()
    assert (await house.say("notices", "resend", letter["id"])).status == 0
    assert receiver.requests[-1].headers["webhook-id"] == letter["id"]
    assert (await house.say("event", "day.ends", "{}")).status == 0
    assert (await house.say("approve", run, "ok", "--by", "alice")).status == 0
    await house.until(run, "completed")
    assert (await house.say("log", run, "--verify")).status == 0
    assert house.times() == {"work": 1, "last": 1}
