"""Joins that go on before all branches have ended: WCP-9, WCP-28 to WCP-33."""

import pytest

from tests.patterns.files import ended, let_go, publish, start, under_way
from tests.workflows.office import Office, effects, statuses

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("first", "second"), [("near", "far"), ("far", "near")])
async def test_09_the_first_branch_to_end_starts_the_next_step_and_the_other_starts_nothing(
    office: Office, first: str, second: str
) -> None:
    run = await start(office, "09-structured-discriminator")
    await under_way(office, "near", "far")
    let_go(office, first)
    view = await run.until(lambda view: statuses(view)["treat"] == "completed")
    assert statuses(view)[second] == "running"
    let_go(office, second)
    await ended(run)
    assert effects(office) == [first, "treat", second]


async def test_28_the_discriminator_fires_again_only_after_all_branches_of_its_round(office: Office) -> None:
    run = await start(office, "28-blocking-discriminator")
    let_go(office, "lap#1.red")
    view = await run.until(lambda view: statuses(view).get("lap#1.count") == "completed")
    assert statuses(view)["lap#1.blue"] == "running"
    assert not any(step.startswith("lap#2") for step in statuses(view))
    let_go(office, "lap#1.blue")
    await under_way(office, "lap#2.red", "lap#2.blue")
    let_go(office, "lap#2.blue")
    await run.until(lambda view: statuses(view)["lap#2.clock"] == "completed")
    let_go(office, "lap#2.red")
    await ended(run)
    assert effects(office) == ["lap#1.red", "lap#1.clock", "lap#1.blue", "lap#2.blue", "lap#2.clock", "lap#2.red"]


@pytest.mark.parametrize(("first", "second"), [("north", "south"), ("south", "north")])
async def test_29_the_first_branch_to_end_cancels_the_other(office: Office, first: str, second: str) -> None:
    run = await start(office, "29-cancelling-discriminator")
    await under_way(office, "north", "south")
    let_go(office, first)
    await ended(run)
    assert statuses(await run.view()) == {first: "completed", second: "cancelled", "read": "completed"}
    assert effects(office) == ["read"]


async def test_30_two_of_three_branches_are_enough_and_the_third_still_ends(office: Office) -> None:
    run = await start(office, "30-structured-partial-join")
    await under_way(office, "first", "second", "third")
    let_go(office, "third")
    view = await run.until(lambda view: statuses(view)["third"] == "completed")
    assert statuses(view)["hire"] == "pending"
    let_go(office, "first")
    view = await run.until(lambda view: statuses(view)["hire"] == "completed")
    assert statuses(view)["second"] == "running"
    let_go(office, "second")
    await ended(run)
    assert effects(office) == ["third", "first", "hire", "second"]


async def test_31_the_join_takes_two_of_three_again_only_after_the_third_of_its_round(office: Office) -> None:
    run = await start(office, "31-blocking-partial-join")
    let_go(office, "round#1.ann", "round#1.cleo")
    view = await run.until(lambda view: statuses(view).get("round#1.count") == "completed")
    assert statuses(view)["round#1.ben"] == "running"
    assert not any(step.startswith("round#2") for step in statuses(view))
    let_go(office, "round#1.ben")
    await under_way(office, "round#2.ann", "round#2.ben", "round#2.cleo")
    assert effects(office)[2:] == ["round#1.decide", "round#1.ben"]
    let_go(office, "round#2.ann", "round#2.ben", "round#2.cleo")
    await ended(run)
    assert effects(office).count("round#2.decide") == 1


async def test_32_two_of_three_branches_cancel_the_third(office: Office) -> None:
    run = await start(office, "32-cancelling-partial-join")
    await under_way(office, "alpha", "beta", "gamma")
    let_go(office, "alpha")
    view = await run.until(lambda view: statuses(view)["alpha"] == "completed")
    assert statuses(view) == {"alpha": "completed", "beta": "running", "gamma": "running", "order": "pending"}
    let_go(office, "gamma")
    await ended(run)
    assert statuses(await run.view()) == {
        "alpha": "completed",
        "beta": "cancelled",
        "gamma": "completed",
        "order": "completed",
    }


async def test_33_what_comes_early_is_kept_and_each_pair_is_joined_once(office: Office) -> None:
    run = await start(office, "33-generalised-and-join", {"bicycles": 2})
    await publish(office, "frame.delivered", number=2)
    await publish(office, "frame.delivered", number=1)
    assert effects(office) == []
    await publish(office, "wheels.delivered", number=1)
    await run.until(lambda view: statuses(view).get("bicycle#2.frame") == "completed")
    assert effects(office) == ["bicycle#1.build"]
    await publish(office, "wheels.delivered", number=2)
    await ended(run)
    assert [what for _, _, what in office.ledger] == ["frame 1 wheels 1", "frame 2 wheels 2"]
