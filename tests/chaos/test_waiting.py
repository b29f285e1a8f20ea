"""1,000 runs wait for an approval; server and worker are killed and come back: all still wait for the right people."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError
from uuid_utils import uuid7

from contracts.decisions import Decision
from contracts.errors import ServerUnreachable
from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY, WAITS_FOR_ATTRIBUTE
from contracts.run import Definition, Page, RunRequest, RunView
from language.load import load_process
from runtime.deciding import send
from tests.business import PROJECT, Business, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

RUNS = 1_000
AT_ONCE = 10
ASKED = "group:finance"
PROCESS = f"""
process: waiting
steps: {{ok: {{approval: {{title: Go?, from: [{{any_of: ["{ASKED}"], count: 2}}], remind: 1h, not_by: [starter]}}}}}}
output: ${{ steps.ok.output.by }}
"""


def runs() -> list[str]:
    return [f"waiting-{number}" for number in range(RUNS)]


async def for_each(names: list[str], do: Any) -> list[Any]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Any:
        async with gate:
            return await do(name)

    return await asyncio.gather(*map(one, names))


async def until_all_wait(client: Client) -> None:
    """For the people that are asked, as the server lists it, which is one question and not a thousand."""

    async def waiting() -> int:
        return (await client.count_workflows(f"{WAITS_FOR_ATTRIBUTE.name} = '{ASKED}'")).count

    await eventually(waiting, RUNS.__eq__, seconds=200)


async def start(client: Client, definition: Definition, run: str) -> None:
    request = RunRequest(process="waiting", definition=definition, started_by="user:hanna")
    await client.start_workflow(PROCESS_WORKFLOW, request, id=run, task_queue=TASK_QUEUE)


async def who_may(client: Client, run: str) -> tuple[str, ...]:
    """As soon as the run waits for them, however often a worker has to come back first."""

    async def look() -> RunView | None:
        try:
            seen: RunView = await client.get_workflow_handle(run).query(
                VIEW_QUERY, args=[Page(limit=1)], result_type=RunView
            )
        except (RPCError, WorkflowQueryFailedError):
            return None
        return seen

    view = await eventually(look, lambda seen: seen is not None and bool(seen.waiting), seconds=200)
    people: tuple[str, ...] = view.waiting[0].people
    return people


async def approve(client: Client, run: str, by: str) -> str:
    """The same decision again until it is answered, which is what a client does that was not."""
    decision = Decision.model_validate({"step": "ok", "decision": "approve", "by": by, "id": str(uuid7())})

    async def said() -> str | None:
        try:
            return (await send(client, run, decision)).status
        except (ServerUnreachable, RPCError):
            return None

    status: str = await eventually(said, lambda answer: answer is not None, seconds=200)
    return status


async def test_a_thousand_runs_that_wait_survive_a_restart_of_server_and_worker(home: Business) -> None:
    home.program = PROJECT / "worker.py"  # one with a thousand runs to replay is not to be taken for lost too soon
    home.start_worker()
    definition = load_process(PROCESS, "waiting.yaml", tools={})
    client = await home.client()
    await for_each(runs(), lambda run: start(client, definition, run))
    await until_all_wait(client)
    decided = runs()[::10]
    assert set(await for_each(decided, lambda run: approve(client, run, "user:alice"))) == {"waiting"}

    home.kill_server()
    home.kill_worker()
    home.start_worker()
    client = await home.client()

    # What was acknowledged before is counted after, and the others wait for whom they waited.
    people = dict(zip(runs(), await for_each(runs(), lambda run: who_may(client, run)), strict=True))
    assert {people.pop(run) for run in decided} == {("user:bob",)}
    assert set(people.values()) == {("user:alice", "user:bob")}
    assert set(await for_each(decided, lambda run: approve(client, run, "user:bob"))) == {"approved"}
    results = await for_each(decided, lambda run: client.get_workflow_handle(run).result())
    assert [result["output"] for result in results] == ["user:bob"] * len(decided)
