"""The invoice approval on trial, as its owner tests it."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError

from contracts.faults import Faults
from testkit import OpenTrial, replay

FOLDER = "processes/invoice-approval"
INVOICE = {"invoice_id": "INV-2041", "amount": 1840, "supplier": "Nordwind GmbH"}


async def test_two_people_of_finance_sign_off_and_it_is_paid_once(trial: OpenTrial) -> None:
    desk = await trial(FOLDER)
    run = await desk.start(INVOICE)
    await run.approve("sign_off", by="user:alice")
    await run.approve("sign_off", by="user:bob")
    assert (await run.ended()).status == "completed"
    assert [call.args for call in desk.calls("bank.transfer")] == [{"to": "Nordwind GmbH", "amount": 1840.0}]


async def test_whoever_started_it_cannot_sign_it_off(trial: OpenTrial) -> None:
    desk = await trial(FOLDER)
    run = await desk.start(INVOICE, started_by="user:alice")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.approve("sign_off", by="user:alice")
    assert "not_by" in str(refused.value.cause)


async def test_a_small_invoice_of_a_known_supplier_needs_nobody(trial: OpenTrial) -> None:
    desk = await trial(FOLDER)
    run = await desk.start({"invoice_id": "INV-2042", "amount": 420, "supplier": "Halden Office"})
    assert (await run.ended()).status == "completed"
    assert (await run.step("sign_off")).status == "skipped"


async def test_a_risk_that_the_auditor_sees_asks_people_however_small_it_is(trial: OpenTrial) -> None:
    desk = await trial(FOLDER)
    desk.asks_for("auditor", "erp.read_supplier", supplier="${ context.order.supplier }")
    desk.says("auditor", {"matches": True, "risk": "high", "reasons": ["It smells."]})
    run = await desk.start({"invoice_id": "INV-2042", "amount": 420, "supplier": "Halden Office"})
    view = await run.waits_for("sign_off")
    assert view.waiting[0].show["audit"]["risk"] == "high"
    assert desk.calls("bank.*") == []


async def test_nobody_answers_for_three_days_and_it_is_not_paid(trial: OpenTrial) -> None:
    desk = await trial(FOLDER)
    run = await desk.start(INVOICE)
    await run.waits_for("sign_off")
    await desk.skip("3d1h")
    assert (await run.ended()).status == "failed"
    assert desk.calls("bank.transfer") == []


async def test_a_transfer_whose_answer_is_lost_is_made_again_under_its_key(trial: OpenTrial) -> None:
    desk = await trial(FOLDER, faults=Faults(namespace="default", at=("*/pay:lost",)))
    run = await desk.start({"invoice_id": "INV-2042", "amount": 420, "supplier": "Halden Office"})
    assert (await run.ended()).status == "completed"
    first, second = desk.calls("bank.transfer")
    assert first.key == second.key == f"{run.id}/pay"


async def test_what_it_did_replays_from_a_file_too(trial: OpenTrial, tmp_path: Path) -> None:
    desk = await trial(FOLDER)
    desk.fake("*")
    desk.says("auditor", {"matches": True, "risk": "low"})
    run = await desk.start({"invoice_id": "INV-1", "amount": 1, "supplier": "Anybody"})
    assert (await run.ended()).status == "completed"
    await run.replays()
    await run.record(tmp_path / "small.json")
    await replay(tmp_path / "small.json")
