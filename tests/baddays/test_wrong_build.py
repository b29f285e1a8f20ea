"""A worker that has other code than a run began with: the run waits, unharmed, its operator is told which build it
needs, and it goes on once there is one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.names import TASK_QUEUE
from runtime.deployments import Deployments
from runtime.release import deployment
from runtime.settings import Settings
from tests.baddays.house import House
from tests.baddays.other_code import OtherCode
from tests.business import eventually
from tests.workflows.office import Office, effects, open_office
from workflows.registered import RELEASED_WORKFLOWS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROCESS = """
    process: waiting
    steps:
      look: {tool: do.work}
      ok: {approval: {title: Go on?, from: [{any_of: [user:ann]}]}, needs: [look]}
      tell: {tool: do.work, needs: [ok]}
"""


@pytest_asyncio.fixture
async def client(house: House) -> AsyncIterator[Client]:
    """Of a server that reports a run after the first workflow tasks that fail, not after five."""
    house.start_server(dynamic={"system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": "2"})
    yield await house.client()


async def test_a_run_whose_history_does_not_replay_waits_in_sight_of_its_operator(client: Client, house: House) -> None:
    async with open_office(client, queue=TASK_QUEUE) as office:
        run = await office.start(PROCESS)
        await run.waiting("ok")
    async with open_office(client, queue=TASK_QUEUE, workflows=[OtherCode]):
        await run.handle.signal("decide", {"step": "ok", "decision": "approve", "by": "user:ann"})

        async def listed() -> Any:
            return (await house.say("list", "--status", "attention", "--json")).json["runs"]

        (found,) = await eventually(listed, bool)
        assert (found["run"], found["waits_for"]) == (run.id, ["user:ann", "operator"])
        shown = await house.say("incidents")
        assert f"{run.id} does not go on: its history does not replay on the code of its worker" in shown.out
        told = " ".join((await house.say("status", run.id)).out.split())
        assert "only what the server knows: its history does not replay" in told
        assert f"starter.py replay {run.id}" in told
    async with open_office(client, queue=TASK_QUEUE) as again:
        assert (await run.handle.result()).status == "completed"
        assert (effects(office), effects(again)) == (["look"], ["tell"])
    assert (await house.say("incidents")).err.strip() == "no incidents"


async def test_a_run_on_a_build_without_workers_says_which_build_it_needs(client: Client, house: House) -> None:
    name = f"dep-{uuid4().hex}"

    def build(build_id: str) -> AbstractAsyncContextManager[Office]:
        config = deployment(Settings(deployment=name, build_id=build_id))
        return open_office(client, queue=TASK_QUEUE, workflows=RELEASED_WORKFLOWS, deployment_config=config)

    deployments = Deployments(client, name, "user:op")
    async with build("v1") as first:
        await deployments.promote("v1")
        run = await first.start(PROCESS)
        await run.waiting("ok")
    async with build("v2") as second:
        await deployments.promote("v2")
        told = (await house.say("status", run.id)).out
        assert f"it is on build v1 of {name}, and no worker of that build answers" in " ".join(told.split())
        assert "SUREFOOT_BUILD_ID=v1" in told
        other = await second.start("process: other\nsteps: {a: {tool: do.work}}")
        assert (await other.handle.result()).status == "completed"
        async with build("v1") as again:
            await run.decide("ok", "approve", "user:ann")
            assert (await asyncio.wait_for(run.handle.result(), 60)).status == "completed"
            assert effects(again) == ["tell"]
