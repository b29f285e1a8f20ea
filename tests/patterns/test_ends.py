"""Cancelling, forced completion, and how runs end: WCP-11, WCP-19, WCP-20, WCP-25 to WCP-27, WCP-43."""

import pytest
from temporalio.client import WorkflowFailureError

from tests.patterns.files import ended, let_go, publish, start, under_way
from tests.workflows.office import Office, effects, statuses

pytestmark = pytest.mark.slow


async def test_11_the_run_ends_when_nothing_is_left_to_do(office: Office) -> None:
    run = await start(office, "11-implicit-termination")
    let_go(office, "survey")
    view = await run.until(lambda view: statuses(view)["thank"] == "completed")
    assert view.status == "running"
    let_go(office, "invoice")
    assert (await ended(run)).status == "completed"
    assert effects(office) == ["survey", "thank", "invoice"]


async def test_19_a_step_at_work_is_withdrawn_and_the_run_goes_on(office: Office) -> None:
    run = await start(office, "19-cancel-task")
    await under_way(office, "search")
    await publish(office, "question.withdrawn", key=run.id)
    assert (await ended(run)).status == "completed"
    assert statuses(await run.view()) == {"search": "cancelled", "withdrawn": "completed", "close": "completed"}


async def test_19_a_step_that_ends_by_itself_is_not_withdrawn(office: Office) -> None:
    run = await start(office, "19-cancel-task")
    let_go(office, "search")
    await ended(run)
    assert statuses(await run.view()) == {"search": "completed", "withdrawn": "cancelled", "close": "completed"}


async def test_20_a_cancelled_run_stops_everything_and_takes_back_what_it_did(office: Office) -> None:
    run = await start(office, "20-cancel-case")
    await under_way(office, "search")
    await run.cancel()
    with pytest.raises(WorkflowFailureError):
        await ended(run)
    view = await run.view()
    assert (view.status, statuses(view)["search"], statuses(view)["remind"]) == ("cancelled", "cancelled", "cancelled")
    assert office.ledger == [("do", "reserve", ""), ("undo", "reserve", "reserve")]


async def test_25_all_that_is_in_the_region_is_cancelled_and_nothing_else(office: Office) -> None:
    run = await start(office, "25-cancel-region")
    await under_way(office, "delivery.drive", "accounts")
    await run.waiting("delivery.sign")
    await publish(office, "delivery.recalled", key=run.id)
    view = await run.until(lambda view: statuses(view)["close"] == "completed")
    after = statuses(view)
    assert after["delivery.load"] == "completed"
    assert {after["delivery"], after["delivery.drive"], after["delivery.sign"]} == {"cancelled"}
    assert after["accounts"] == "running"
    let_go(office, "accounts")
    await ended(run)
    assert effects(office) == ["delivery.load", "close", "accounts"]


async def test_26_instances_that_are_not_done_are_cancelled_and_those_that_are_stay_done(office: Office) -> None:
    run = await start(office, "26-cancel-multiple-instances", {"rooms": ["a", "b", "c", "d"]})
    let_go(office, "visit[0]")
    await under_way(office, "visit[1]", "visit[2]")
    await publish(office, "room.found", key=run.id)
    await ended(run)
    after = statuses(await run.view())
    assert [after[f"visit[{index}]"] for index in range(3)] == ["completed", "cancelled", "cancelled"]
    assert not office.started["visit[3]"].is_set()
    assert effects(office) == ["move_in"]


async def test_27_what_the_instances_gave_until_they_were_closed_counts(office: Office) -> None:
    run = await start(office, "27-complete-multiple-instances")
    await under_way(office, *(f"ask[{index}].answer" for index in range(3)))
    let_go(office, "ask[1].answer")
    await run.until(lambda view: statuses(view)["ask[1]"] == "completed")
    await publish(office, "vote.closed", key=run.id)
    await ended(run)
    assert office.ledger == [("do", "count", 'of ["ben"]')]
    assert (await run.status_of("ask[0].answer"), await run.status_of("ask[2].answer")) == ("cancelled", "cancelled")


async def test_43_the_run_ends_as_completed_whatever_is_still_under_way(office: Office) -> None:
    run = await start(office, "43-explicit-termination")
    await under_way(office, "sale.advertise")
    await run.waiting("sale.show")
    await publish(office, "goods.stolen", key=run.id)
    assert (await ended(run)).status == "completed"
    after = statuses(await run.view())
    assert (after["sale.advertise"], after["sale.show"]) == ("cancelled", "cancelled")
    assert effects(office) == ["end"]
