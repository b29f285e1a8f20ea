"""Approvals in the middle of an agent's turn: bound to the exact arguments, decided as any other approval.

The model is a real HTTP endpoint that answers as the test says.
"""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from tests.endpoint import Endpoint
from tests.workflows.bank import open_bank
from tests.workflows.office import Office, Run, has_dealt_with


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_bank(client, endpoint, tmp_path) as opened:
        yield opened


def process(
    tools: Any = ("bank.transfer", "bank.balance"), *, when: str | None = None, limits: Any = None, **approve: Any
) -> str:
    entry = {"tools": ["bank.transfer"], "from": [{"any_of": ["group:finance"]}], **approve}
    if when is not None:
        entry["when"] = when
    agent = {"instructions": "You pay.", "tools": list(tools), "approve": [entry], "limits": limits or {}}
    return f"""
        process: paying
        agents: {{clerk: {json.dumps(agent)}}}
        steps:
          pay: {{agent: clerk, task: Pay.}}
        output: ${{ steps.pay.output }}
    """


def told(endpoint: Endpoint, request: int, message: int = -1) -> str:
    content: str = endpoint.requests[request].messages[message]["content"]
    return content


async def refused(run: Run, step: str, decision: str, by: str, **more: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await run.decide(step, decision, by, **more)
    return str(caught.value.cause)


async def test_a_call_waits_for_people_and_is_made_as_they_agreed(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    endpoint.say("paid")
    run = await office.start(process(title="Pay ${ args.amount } to ${ args.to }?", remind="4h"))
    view = await run.waiting("pay/ask-1")
    (wait,) = view.waiting
    assert (wait.kind, wait.title) == ("approval", "Pay 900 to acme?")
    assert wait.people == ("user:alice", "user:bob")
    assert wait.show["arguments"] == {"to": "acme", "amount": 900}
    assert view.status == "waiting"
    found = await run.handle.describe()
    assert found.search_attributes.get("SurefootWaitsFor") == ["group:finance"]
    assert office.ledger == []
    await run.decide("pay/ask-1", "approve", "alice", hash=wait.hash)
    assert (await run.handle.result()).output == "paid"
    assert office.ledger == [("transfer", "pay", ("acme", 900))]
    steps = {step.id: step for step in (await run.view()).steps}
    assert (steps["pay/ask-1"].status, steps["pay/ask-1"].by) == ("completed", "user:alice")


async def test_who_is_not_asked_cannot_decide_and_a_stale_hash_does_not_count(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    endpoint.say("not paid")
    run = await office.start(process())
    await run.waiting("pay/ask-1")
    assert "is not asked" in await refused(run, "pay/ask-1", "approve", "carol")
    assert "has changed" in await refused(run, "pay/ask-1", "approve", "alice", hash="0" * 64)
    await run.decide("pay/ask-1", "reject", "alice", comment="not due yet")
    assert (await run.handle.result()).output == "not paid"
    assert office.ledger == []
    assert told(endpoint, 1) == "error: bank.transfer was not approved; user:alice: not due yet"
    pay = next(step for step in (await run.view()).steps if step.id == "pay")
    assert [note.kind for note in pay.notes] == ["refused"]


async def test_edits_are_held_to_schema_and_grants_and_the_model_sees_them(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 400}))
    endpoint.say("paid less")
    run = await office.start(process([{"bank.transfer": {"amount": "<= 500"}}]))
    await run.waiting("pay/ask-1")
    assert "do not fit" in await refused(run, "pay/ask-1", "approve", "alice", edits={"to": "acme", "amount": "all"})
    assert "not granted" in await refused(run, "pay/ask-1", "approve", "alice", edits={"to": "acme", "amount": 501})
    await run.decide("pay/ask-1", "approve", "alice", edits={"to": "acme", "amount": 300}, comment="a third later")
    await run.handle.result()
    assert office.ledger == [("transfer", "pay", ("acme", 300))]
    assert json.loads(told(endpoint, 1)) == {
        "edited": {"by": "user:alice", "comment": "a third later", "arguments": {"to": "acme", "amount": 300}},
        "output": {"to": "acme", "amount": 300},
    }


async def test_only_calls_of_which_when_holds_are_asked_about(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 90}))
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 110}))
    endpoint.say("done")
    run = await office.start(process(when="${ args.amount > 100 }"))
    await run.waiting("pay/ask-1")
    assert office.ledger == [("transfer", "pay", ("acme", 90))]
    await run.decide("pay/ask-1", "approve", "bob")
    await run.handle.result()
    assert [args for *_, args in office.ledger] == [("acme", 90), ("acme", 110)]


async def test_reads_go_on_while_a_write_waits_and_writes_keep_their_order(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(
        ("bank_transfer", {"to": "first", "amount": 900}),
        ("bank_balance", {}),
        ("bank_transfer", {"to": "second", "amount": 9}),
        ("bank_transfer", {"to": "third", "amount": 901}),
    )
    endpoint.say("done")
    run = await office.start(process(when="${ args.amount > 100 }"))
    await run.waiting("pay/ask-1")  # who decides each is found out side by side
    await run.waiting("pay/ask-2")
    await run.until(lambda _: office.calls["balance"] == 1)
    await run.decide("pay/ask-2", "approve", "alice")
    assert office.ledger == []
    await run.decide("pay/ask-1", "approve", "alice")
    await run.handle.result()
    assert [to for *_, (to, _) in office.ledger] == ["first", "second", "third"]


async def test_on_reject_stop_ends_the_run(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    run = await office.start(process(on_reject="stop"))
    await run.waiting("pay/ask-1")
    await run.decide("pay/ask-1", "reject", "alice", comment="fraud")
    with pytest.raises(WorkflowFailureError) as caught:
        await run.handle.result()
    assert "rejected by user:alice: fraud" in str(caught.value.cause)
    assert office.ledger == []


async def test_a_question_of_an_agent_that_is_cancelled_is_withdrawn(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    run = await office.start(process())
    await run.waiting("pay/ask-1")
    await run.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    view = await run.view()
    assert view.waiting == ()
    assert {step.id: step.status for step in view.steps} == {"pay": "cancelled", "pay/ask-1": "cancelled"}
    assert office.ledger == []


@pytest.mark.slow
async def test_a_repaired_agent_asks_anew(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    endpoint.fail(401, message="bad key")
    run = await office.start(process())
    await run.waiting("pay/ask-1")
    await run.decide("pay/ask-1", "approve", "alice")
    await run.parked("pay")
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    endpoint.say("paid")
    await run.repair("pay", "retry")
    await run.waiting("pay/ask-2")
    assert "decided already" in await refused(run, "pay/ask-1", "approve", "bob")
    await run.decide("pay/ask-2", "approve", "alice")
    await run.handle.result()
    assert len(office.ledger) == 2


@pytest.mark.slow
async def test_who_decides_cannot_be_found_is_an_incident_of_the_question(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    endpoint.say("paid")
    nobody: Any = {"from": [{"any_of": ["user:alice"], "when": "${ args.amount > 1000 }"}]}
    run = await office.start(process(**nobody))
    view = await run.parked("pay/ask-1")
    assert "no row" in view.incidents[0].error.message
    await run.repair("pay/ask-1", "skip", reason="nobody to ask")
    await run.handle.result()
    assert office.ledger == []
    assert "was not approved" in told(endpoint, 1)


@pytest.mark.slow
async def test_the_time_people_take_is_not_the_agents(
    time_skipping: WorkflowEnvironment, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 900}))
    endpoint.say("paid")
    async with open_bank(time_skipping.client, endpoint, tmp_path) as office:
        run = await office.start(process(limits={"time": "1h"}))
        await run.waiting("pay/ask-1")
        await time_skipping.sleep(timedelta(hours=25))
        await run.decide("pay/ask-1", "approve", "alice")
        assert (await run.handle.result()).output == "paid"


async def test_a_write_on_its_way_is_waited_for_when_the_agent_is_cancelled(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("bank_slow", {"to": "acme"}))
    run = await office.start(process(["bank.slow", "bank.transfer"]))
    await office.started["slow"].wait()
    await run.cancel()
    await has_dealt_with(
        office.client.get_workflow_handle(f"{run.id}/pay"), EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
    )
    office.gates["slow"].set()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert office.ledger == [("transfer", "pay", ("acme", 1))]
