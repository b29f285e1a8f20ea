"""The other sample processes on trial, each as its owner tests it."""

from pathlib import Path

import pytest
import yaml

from contracts.base import Json
from testkit import OpenTrial
from tests.endpoint import Endpoint

PROCESSES = Path(__file__).parents[2] / "processes"


def sample(process: str) -> Json:
    return yaml.safe_load((PROCESSES / process / "sample.yaml").read_text())


async def test_a_new_employee_gets_a_machine_once_the_manager_agrees(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "employee-onboarding")
    run = await desk.start(sample("employee-onboarding"))
    await run.waits_for("hardware_approval")
    assert desk.calls("helpdesk.order_hardware") == []
    await run.approve("hardware_approval", by="user:mia")
    assert (await run.ended()).status == "completed"
    assert [call.args["sku"] for call in desk.calls("helpdesk.order_hardware")] == ["NB-16"]
    await run.replays()


async def test_a_manager_who_stays_silent_is_passed_over_after_a_day(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "employee-onboarding")
    run = await desk.start(sample("employee-onboarding"))
    await run.waits_for("hardware_approval")
    await desk.skip("1d1m")
    await run.approve("hardware_approval", by="user:hanna")
    assert (await run.ended()).status == "completed"


async def test_a_candidate_who_is_rejected_leaves_nothing_behind(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "employee-onboarding")
    run = await desk.start(sample("employee-onboarding"))
    await run.waits_for("hardware_approval")
    await run.until(lambda view: sum(step.status == "completed" for step in view.steps) >= 7)
    await run.reject("hardware_approval", by="user:mia", comment="too dear")
    assert (await run.ended()).status == "undone"
    closed = [call.tool for call in desk.calls("*") if call.key.endswith("/undo")]
    assert closed[-1] == "hris.withdraw_employee", "everything else needs the record"
    assert closed.count("directory.close_account") == len(desk.calls("directory.create_account"))


async def test_a_supplier_on_a_sanctions_list_is_never_written_down(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "supplier-onboarding")
    run = await desk.start(
        {
            "supplier": "Oriel Trading",
            "country": "CY",
            "iban": "CY17002001280000001200527600",
            "volume": 50_000,
            "contact": "info@oriel.example",
        }
    )
    await run.approve("checks", by="user:paul")
    await run.until(lambda view: view.ended is not None or bool(view.incidents))
    assert desk.calls("erp.*") == []
    assert desk.calls("bank.*") == []


async def test_three_departments_agree_and_the_cfo_adopts(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "budget-planning")
    run = await desk.start({"year": 2027, "total": 1_200_000})
    await run.approve("adopt", by="user:cfo")
    view = await run.ended()
    assert view.status == "completed"
    opened = {call.args["department"] for call in desk.calls("finance.open_budget")}
    assert opened == {"engineering", "sales", "support"}


async def test_an_order_that_is_there_at_once_is_shipped(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "order-desk")
    run = await desk.start({"order": "W-5002"})
    assert (await run.ended()).status == "completed"
    assert [call.args["carrier"] for call in desk.calls("warehouse.ship")] == ["Postwagen"]


async def test_what_is_short_is_bought_and_the_order_goes_on_when_it_comes(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "order-desk")
    order = await desk.start({"order": "W-5001"}, run="order-desk-1")
    await order.waits_for("arrived")
    watch = desk.run("stock-watch-order-desk-1/short")
    await watch.approve("agree", by="user:paul")
    await watch.waits_for("delivery")
    bought = (await watch.step("buy")).output
    await desk.publish("dock.delivery", {"purchase": bought["id"], "quantity": bought["quantity"]})
    assert (await watch.ended()).status == "completed"
    assert (await order.ended()).status == "completed"


async def test_what_never_comes_is_given_up_after_thirty_days(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "order-desk")
    order = await desk.start({"order": "W-5001"})
    await order.waits_for("arrived")
    await desk.skip("30d1h")
    view = await order.until(lambda view: view.ended is not None or bool(view.incidents))
    assert desk.calls("warehouse.ship") == []
    assert view.incidents[0].step == "arrived"


async def test_a_customer_is_told_only_what_is_known(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "customer-news")
    run = await desk.start({"order": "W-5001", "news": "it is on its way"})
    assert (await run.ended()).status == "completed"
    (mail,) = desk.calls("mail.send")
    assert mail.args["to"] == "orders@morgenrot.example"
    assert "it is on its way" in mail.args["body"]


async def test_a_purchase_too_dear_for_the_buyer_alone_is_asked_for(trial: OpenTrial) -> None:
    desk = await trial(PROCESSES / "stock-watch")
    desk.says(
        "buyer", {"offer": "OF-1", "supplier": "Nordwind GmbH", "quantity": 40, "total": 2320, "reason": "it fits"}
    )
    run = await desk.start({"order": "W-5001", "sku": "CH-7", "missing": 28, "within_days": 7})
    await run.reject("agree", by="user:paul", comment="not now")
    assert (await run.ended()).status == "failed"
    assert desk.calls("purchasing.order") == []


async def test_a_script_answers_in_place_of_the_models_that_the_project_has(
    trial: OpenTrial, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "surefoot.toml"
    config.write_text(f'[models.default]\nmodel = "ours"\nbase_url = "{endpoint.url}"\nkey_env = "OUR_KEY"\n')
    monkeypatch.setenv("SUREFOOT_CONFIG", str(config))
    monkeypatch.setenv("OUR_KEY", "sk-live")
    desk = await trial(PROCESSES / "invoice-approval")
    desk.says("auditor", {"matches": True, "risk": "high", "reasons": ["It smells."]})
    run = await desk.start(sample("invoice-approval"))
    await run.until(lambda view: bool(view.waiting))
    assert endpoint.requests == []
