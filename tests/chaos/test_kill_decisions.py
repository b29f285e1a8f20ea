"""kill -9 around a decision's answer: who was answered is counted, who was not says it again and is counted once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.decisions import Decision, Receipt
from contracts.errors import ServerUnreachable
from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunRequest, RunView, Waiting
from language.load import load_process
from runtime.deciding import send
from tests.business import Business, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

DYING = Path(__file__).parent / "dying_decider.py"
RUN = "two-say-yes"
PROCESS = """
process: two-say-yes
steps: {ok: {approval: {title: Go?, from: [{any_of: [user:alice, user:bob], count: 2}]}}}
output: ${ steps.ok.output.by }
"""
WHO = ["worker", "server", "worker server"]


def yes(by: str) -> Decision:
    return Decision.model_validate({"step": "ok", "decision": "approve", "by": by, "id": f"yes-of-{by}"})


async def start(client: Client) -> None:
    definition = load_process(PROCESS, "two-say-yes.yaml", tools={})
    await client.start_workflow(
        PROCESS_WORKFLOW, RunRequest(process="two-say-yes", definition=definition), id=RUN, task_queue=TASK_QUEUE
    )


async def waiting(client: Client) -> Waiting:
    """What the run asks, as soon as it does, however often a worker has to come back first."""

    async def look() -> RunView | None:
        try:
            seen: RunView = await client.get_workflow_handle(RUN).query(VIEW_QUERY, result_type=RunView)
        except (RPCError, WorkflowQueryFailedError):
            return None
        return seen

    view = await eventually(look, lambda seen: seen is not None and bool(seen.waiting))
    found: Waiting = view.waiting[0]
    return found


async def answer(client: Client, decision: Decision) -> Receipt:
    """The same decision again until it is answered, which is what a client does that was not."""

    async def said() -> Receipt | None:
        try:
            return await send(client, RUN, decision)
        except (ServerUnreachable, RPCError):
            return None

    receipt: Receipt = await eventually(said, lambda found: found is not None)
    return receipt


async def died(business: Business, who: str, server: int) -> None:
    """Until the worker is gone, or has started another server in place of its own."""

    async def has() -> Any:
        assert business.worker is not None
        return business.worker.poll() is not None if "worker" in who else business.server["pid"] != server

    await eventually(has, bool)


async def assert_counted_once(client: Client, receipt: Receipt) -> None:
    assert [vote.by for vote in (await waiting(client)).votes] == ["user:alice"]
    assert await answer(client, yes("user:alice")) == receipt
    assert (await answer(client, yes("user:bob"))).status == "approved"
    assert (await client.get_workflow_handle(RUN).result())["output"] == "user:bob"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("who", WHO)
async def test_a_decision_that_was_not_answered_counts_once_when_it_is_said_again(
    home: Business, who: str, moment: str
) -> None:
    home.start_worker(DYING, {"DIES": who, "MOMENT": moment})
    client = await home.client()
    await start(client)
    await waiting(client)
    server = home.server["pid"]
    said = asyncio.create_task(send(client, RUN, yes("user:alice")))
    await died(home, who, server)
    said.cancel()  # whoever said it is gone too, unanswered
    await asyncio.wait([said])
    if "worker" in who:
        home.start_worker()
    client = await home.client()
    await assert_counted_once(client, await answer(client, yes("user:alice")))


@pytest.mark.parametrize("who", WHO)
async def test_a_decision_that_was_answered_is_counted_whatever_dies_then(home: Business, who: str) -> None:
    home.start_worker()
    client = await home.client()
    await start(client)
    await waiting(client)
    server = home.server["pid"]
    receipt = await send(client, RUN, yes("user:alice"))
    if "server" in who:
        home.kill_server()
    if "worker" in who:
        home.kill_worker()
        home.start_worker()
    else:
        await died(home, who, server)
    client = await home.client()
    await assert_counted_once(client, receipt)
