"""kill -9 while a record is written, and a database that goes away: no event is lost or double, the chain holds."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.record import RunEvent
from tests.business import PROJECT, Business, eventually
from tests.chaos.test_kill import approve, result, start
from tests.stores import Server, needs, postgres_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

DYING = Path(__file__).parent / "dying_worker.py"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    needs("postgresql")
    with postgres_server() as server:
        yield server


async def log(business: Business, *options: str, **settings: str) -> Any:
    """What `starter.py log` says of the run, as JSON."""
    environment = {**os.environ, "SUREFOOT_HOME": str(business.home), **settings}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(PROJECT / "starter.py"), "log", "employee-onboarding-chaos", "--json", *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


async def assert_whole(business: Business, **settings: str) -> None:
    verified = await log(business, "--verify", **settings)
    assert verified["problem"] is None
    events = [RunEvent.model_validate(event) for event in await log(business, **settings)]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    completed = [event.step for event in events if event.kind == "step.completed"]
    assert len(completed) == len(set(completed))
    assert {"record", "courses", "accounts", "training", "hardware_approval", "welcome"} <= set(completed)
    assert (events[0].kind, events[-1].kind) == ("run.started", "run.completed")


async def died(business: Business) -> None:
    async def dead() -> bool:
        return business.worker is not None and business.worker.poll() is not None

    await eventually(dead, bool)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_that_dies_of_a_write_leaves_a_whole_record(home: Business, moment: str) -> None:
    """Once when it asks people, and once more at its end."""
    home.start_worker(DYING, {"DIES": moment, "DIES_OF": "approval.opened"})
    handle = await start(home)
    await died(home)
    home.start_worker(DYING, {"DIES": moment, "DIES_OF": "run.completed"})
    await approve(handle)
    await died(home)
    home.start_worker()
    assert (await result(handle)).status == "completed"
    await assert_whole(home)


async def test_of_two_workers_one_is_killed_and_the_record_is_whole(home: Business) -> None:
    home.start_worker()
    handle = await start(home)
    first = home.worker
    home.start_worker()
    await approve(handle)
    assert first is not None
    first.kill()
    first.wait()
    assert (await result(handle)).status == "completed"
    await assert_whole(home)


async def test_postgresql_restarted_in_the_middle_loses_nothing(home: Business, postgres: Server) -> None:
    settings = {
        "SUREFOOT_RECORDS__URL": postgres.url,
        "SUREFOOT_RECORDS__PASSWORD": "env:RECORDS_PASSWORD",
        "RECORDS_PASSWORD": postgres.password,
    }
    home.start_worker(settings=settings)
    handle = await start(home)
    await asyncio.to_thread(postgres.restart)
    await approve(handle)
    await asyncio.to_thread(postgres.restart)
    assert (await result(handle)).status == "completed"
    await assert_whole(home, **settings)
