"""A disk is full: what lies on it waits, what does not goes on, and nothing is lost once there is room again."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from temporalio.service import RPCError

from contracts.names import PROCESS_WORKFLOW
from tests.baddays.disk import Disk, small_disk
from tests.baddays.house import NAME, House
from tests.baddays.tools import TOOLS
from tests.business import COMMANDS_APART, eventually
from tests.service import Answer, Request, Service, open_service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROCESS = f"""
process: {NAME}
input: {{type: object, properties: {{big: {{type: boolean}}}}}}
agents: {{clerk: {{instructions: You are a clerk., tools: [day.work]}}}}
steps:
  first: {{tool: day.work}}
  think: {{agent: clerk, task: Work., needs: [first]}}
  big: {{when: "${{ has(input.big) }}", tool: day.big, needs: [first]}}
  ok:
    needs: [think]
    approval: {{title: Go on?, from: [{{any_of: ["user:alice"]}}]}}
  last: {{tool: day.work, needs: [ok, big], join: any}}
"""
REHEARSAL = """
agents:
  clerk:
    - call: [{tool: day.work, with: {what: from the clerk}}]
    - answer: done
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", "24m") as mounted:
        yield mounted


@pytest.fixture
def service() -> Iterator[Service]:
    def answer(request: Request) -> Answer:
        return Answer({})

    with open_service() as opened:
        opened.answer = answer
        yield opened


def furnish(house: House, service: Service) -> None:
    house.write(PROCESS, TOOLS, REHEARSAL)
    house.tell_at(service.base)


async def told_of(service: Service, run: str) -> set[str]:
    """The messages about a run, each once however often it was sent under its id."""
    return {request.headers["webhook-id"] for request in service.requests if request.body["data"]["run"] == run}


async def test_records_conversations_and_notices_wait_for_room_while_runs_go_on(
    disk: Disk, house: House, service: Service
) -> None:
    furnish(house, service)
    house.environment["SUREFOOT_HOME"] = str(disk.folder)
    house.start_server()
    await house.client()
    worker = house.start_worker()
    before = await house.start_run("before")
    await house.until(before, "waiting")
    disk.fill()
    run = await house.start_run("full")
    await house.until(run, "waiting")  # also the agent goes on, whose conversation cannot be kept

    async def shown() -> str:
        return " ".join((await house.say("status", run)).out.split())

    await eventually(shown, lambda text: "surefoot.write_record is at try" in text, apart=COMMANDS_APART)
    said = await shown()
    assert f"records in {disk.folder}/records.db: database or disk is full; it is tried on" in said
    assert "free space there, or check records.url" in said
    assert "conversation not kept; it will be supplied again" in house.log()
    assert await told_of(service, run) == set()

    large = await house.start_run("large", big=True)
    view = await house.until(large, "attention")
    assert (
        "cannot be stored (No space left on device); mend the folder or the disk"
        in view["incidents"][0]["error"]["message"]
    )

    disk.free()
    assert (await house.say("repair", large, "big", "retry")).status == 0
    for number, each in enumerate((before, run, large)):
        await eventually(partial(told_of, service, each), lambda told: len(told) == 1)
        assert (await house.say("approve", each, "ok", "--by", "alice")).status == 0, number
        await house.until(each, "completed")
        assert "the record holds" in (await house.say("log", each, "--verify")).out
    assert len({request.headers["webhook-id"] for request in service.requests}) == 3
    assert worker.poll() is None
    assert set(Counter(key for _, key in house.ledger()).values()) == {1}


async def until_it_is_full(house: House) -> None:
    """Runs are started until the server has no room for another one."""
    client = await house.client()
    for number in range(1_000):
        try:
            request = {"process": NAME, "input": {"note": "x" * 50_000}}
            await client.start_workflow(PROCESS_WORKFLOW, request, id=f"filler-{number}", task_queue="nobody")
        except RPCError:
            return
    raise AssertionError("the disk is not full")


async def test_a_server_without_room_says_so_and_goes_on_once_there_is(
    disk: Disk, house: House, service: Service
) -> None:
    furnish(house, service)
    house.start_server(disk.folder / "temporal.db")
    await house.client()
    worker = house.start_worker()
    run = await house.start_run("before")
    await house.until(run, "waiting")
    disk.fill()
    await until_it_is_full(house)
    for words in (("run", NAME, "--id", "full"), ("approve", run, "ok", "--by", "alice")):
        said = await house.say(*words)
        assert said.status == 3
        assert f"error: the server at {house.address} stopped answering: " in said.err
        assert "nothing is lost, try again" in said.err
    disk.free()

    async def started() -> bool:
        return (await house.say("run", NAME, "--id", "full")).status != 3  # 2: one of those before came through

    await eventually(started, bool, apart=COMMANDS_APART)
    for each in (run, f"{NAME}-full"):
        await house.until(each, "waiting")
        assert (await house.say("approve", each, "ok", "--by", "alice")).status == 0
        await house.until(each, "completed")
    assert worker.poll() is None
    assert set(Counter(key for _, key in house.ledger()).values()) == {1}
