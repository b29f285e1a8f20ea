"""What depends on the state the run is in, and on events: WCP-16 to WCP-18, WCP-23, WCP-24, WCP-39, WCP-40."""

import pytest

from tests.patterns.files import ended, let_go, publish, start, under_way
from tests.workflows.office import Office, effects, statuses


@pytest.mark.parametrize(
    ("happens", "other", "answer"),
    [("called", "wrote", "answer_call"), ("wrote", "called", "answer_letter")],
)
async def test_16_what_happens_first_is_the_choice_and_the_other_is_withdrawn(
    office: Office, happens: str, other: str, answer: str
) -> None:
    run = await start(office, "16-deferred-choice", {"customer": "ann"})
    await run.until(lambda view: {wait.step for wait in view.waiting} == {"called", "wrote"})
    await publish(office, f"customer.{other}", key="somebody else")
    await publish(office, f"customer.{happens}", key="ann")
    await ended(run)
    assert await run.status_of(other) == "cancelled"
    assert sorted(effects(office)) == [answer, "settled"]


async def test_17_checks_run_one_at_a_time_in_the_order_they_are_picked_and_the_file_allows(office: Office) -> None:
    run = await start(office, "17-interleaved-parallel-routing")
    await publish(office, "check.picked", key=run.id, check="open")
    await publish(office, "check.picked", key=run.id, check="photograph")
    await under_way(office, "checks#1.photograph")
    await publish(office, "check.picked", key=run.id, check="weigh")
    view = await run.view()
    assert [step for step, status in statuses(view).items() if status == "running" and "." in step] == [
        "checks#1.photograph"
    ]
    assert not any(step.startswith("checks#2") for step in statuses(view))
    let_go(office, "checks#1.photograph", "checks#2.weigh", "checks#3.open")
    await ended(run)
    assert effects(office) == ["checks#1.photograph", "checks#2.weigh", "checks#3.open"]


@pytest.mark.parametrize(
    ("asked", "answer"), [("before the booking", "refuse"), ("in time", "change"), ("after the gate closed", "refuse")]
)
async def test_18_a_step_is_open_only_between_two_points_of_another_branch(
    office: Office, asked: str, answer: str
) -> None:
    run = await start(office, "18-milestone")
    if asked != "before the booking":
        let_go(office, "book")
        await under_way(office, "close")
    if asked == "after the gate closed":
        let_go(office, "close")
        await run.until(lambda view: statuses(view)["too_late"] == "completed")
    await publish(office, "seat.asked", key=run.id)
    await run.until(lambda view: statuses(view)[answer] == "completed")
    let_go(office, "book", "close")
    await ended(run)
    assert sorted(effects(office)) == sorted(["book", "close", answer])


async def test_23_a_trigger_that_comes_too_early_is_lost_and_the_next_one_counts(office: Office) -> None:
    run = await start(office, "23-transient-trigger")
    await publish(office, "alarm.rung", number=1)
    await run.until(lambda view: "guard#2.alarm" in statuses(view))
    let_go(office, "arrive")
    view = await run.until(lambda view: statuses(view)["duty"] == "completed")
    assert "guard#3" not in statuses(view)
    await publish(office, "alarm.rung", number=2)
    await ended(run)
    assert [what for _, step, what in office.ledger if step != "arrive"] == ["alarm 2"]


async def test_24_a_trigger_that_comes_too_early_is_kept_until_its_step_is_ready(office: Office) -> None:
    run = await start(office, "24-persistent-trigger")
    await under_way(office, "open_shop")
    await publish(office, "goods.delivered", goods="apples")
    assert await run.status_of("delivery") == "pending"
    let_go(office, "open_shop")
    await ended(run)
    assert office.ledger[1:] == [("do", "unpack", "apples")]


async def test_39_whoever_has_the_lock_ends_its_section_before_the_other_begins(office: Office) -> None:
    run = await start(office, "39-critical-section")
    let_go(office, "load.arrive")
    await under_way(office, "load.fetch")
    let_go(office, "unload.arrive", "unload.lift", "unload.store")
    await run.until(lambda view: statuses(view)["unload.take"] == "waiting")
    let_go(office, "load.fetch")
    await under_way(office, "load.fill")
    assert effects(office) == ["load.arrive", "unload.arrive", "load.fetch"]
    let_go(office, "load.fill")
    await ended(run)
    assert effects(office)[3:] == ["load.fill", "unload.lift", "unload.store"]


@pytest.mark.parametrize("order", [["heart", "blood", "eyes"], ["eyes", "heart", "blood"]])
async def test_40_the_stations_take_turns_in_the_order_that_the_input_says(office: Office, order: list[str]) -> None:
    run = await start(office, "40-interleaved-routing", {"order": order})
    stations = [f"station[{index}].{name}" for index, name in enumerate(order)]
    for station in stations:
        await under_way(office, station)
        running = [step for step, status in statuses(await run.view()).items() if status == "running" and "." in step]
        assert running == [station]
        let_go(office, station)
    await ended(run)
    assert effects(office) == [*stations, "result"]
