"""Approvals in a run: rows, stages, updates and signals, rejection, what Temporal can search for."""

from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from contracts.names import DECIDE
from tests.workflows.office import Office, effects

PAY = """
    process: paying
    input: {type: object}
    steps:
      ok:
        approval:
          title: Pay ${ input.amount }?
          show: {amount: "${ input.amount }"}
          from:
            - when: ${ input.amount > 50000 }
              stages: [{any_of: [group:controllers]}, {all_of: [user:cfo]}]
            - any_of: [group:finance]
              count: 2
          not_by: [starter]
      pay: {tool: do.work, needs: [ok], with: {what: "${ steps.ok.output.decision } ${ steps.ok.output.by }"}}
    output: ${ steps.pay.output.what }
"""


async def test_the_first_matching_row_decides_and_stages_follow_each_other(office: Office) -> None:
    run = await office.start(PAY, {"amount": 60000})
    view = await run.waiting("ok")
    assert view.waiting[0].people == ("user:carol",)
    assert (view.status, view.waiting[0].title, view.waiting[0].who) == (
        "waiting",
        "Pay 60000?",
        ("group:controllers",),
    )
    await run.decide("ok", "approve", "carol")
    assert (await run.view()).waiting[0].who == ("user:cfo",)
    await run.decide("ok", "approve", "user:cfo", hash=view.waiting[0].hash)
    assert (await run.handle.result()).output == "approve user:cfo"


async def test_the_starter_cannot_approve_and_two_different_people_must(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500}, started_by="user:alice")
    await run.waiting("ok")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.decide("ok", "approve", "alice")
    assert "may not decide here" in str(refused.value.cause)


async def test_a_signal_decides_like_an_update_and_one_that_does_not_hold_is_on_record(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    for payload in (
        {"step": "ok", "decision": "approve", "by": "user:mallory"},
        {"step": "ok", "decision": "perhaps", "by": "user:alice"},
        ["no decision at all"],
        {"step": "ok", "decision": "approve", "by": "user:alice"},
        {"step": "ok", "decision": "approve", "by": "user:bob"},
    ):
        await run.handle.signal(DECIDE, payload)
    assert (await run.handle.result()).output == "approve user:bob"
    refused = (await run.view()).refused
    assert len(refused) == 3
    assert "user:mallory is not asked" in refused[0]
    assert "decision" in refused[1]


async def test_the_same_decision_twice_counts_once(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    first = await run.decide("ok", "approve", "alice", id="d1")
    assert await run.decide("ok", "approve", "alice", id="d1") == first
    assert len((await run.view()).waiting[0].votes) == 1


async def test_a_rejection_stops_the_run_as_rejected(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    await run.decide("ok", "reject", "alice", comment="too much")
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Rejected"
    assert "rejected by user:alice: too much" in str(failed.value.cause)
    assert office.ledger == []
    assert office.calls["pay"] == 0
    assert await run.status_of("pay") == "pending"


async def test_a_rejection_can_be_a_branch(office: Office) -> None:
    run = await office.start("""
        process: branching
        steps:
          ok: {approval: {title: Go?, from: [{any_of: [user:ann]}], on_reject: continue}}
          no: {tool: do.work, when: "${ steps.ok.output.decision == 'reject' }"}
          go: {tool: do.work, when: "${ steps.ok.output.decision == 'approve' }"}
    """)
    await run.waiting("ok")
    await run.decide("ok", "reject", "ann", comment="no")
    await run.handle.result()
    assert effects(office) == ["no"]


async def test_deciding_what_does_not_wait_says_what_does(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    for step, reason in (
        ("nope", "there is no step 'nope' to decide; waiting for a decision: ok"),
        ("pay", "it is pending"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.decide(step, "approve", "alice")
        assert reason in str(refused.value.cause)


async def test_search_attributes_say_what_a_run_waits_for(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    attributes: dict[str, Any] = {
        pair.key.name: pair.value for pair in (await run.handle.describe()).typed_search_attributes
    }
    assert attributes["SurefootProcess"] == "paying"
    assert attributes["SurefootStatus"] == "waiting"
    assert attributes["SurefootWaitsFor"] == ["group:finance"]
