"""Basic control flow, and branching and merging that waits for all: WCP-1 to WCP-8, WCP-37, WCP-38."""

import pytest

from tests.patterns.files import ended, let_go, start, under_way
from tests.workflows.office import Office, effects, statuses


async def test_01_each_step_starts_when_the_one_before_has_ended(office: Office) -> None:
    run = await start(office, "01-sequence")
    await under_way(office, "take")
    assert statuses(await run.view()) == {"take": "running", "pack": "pending", "send": "pending"}
    let_go(office, "take")
    await under_way(office, "pack")
    assert await run.status_of("send") == "pending"
    let_go(office, "pack")
    await ended(run)
    assert [(step, what) for _, step, what in office.ledger] == [
        ("take", "held"),
        ("pack", "held"),
        ("send", "after pack"),
    ]


async def test_02_both_branches_are_under_way_at_once(office: Office) -> None:
    run = await start(office, "02-parallel-split")
    await under_way(office, "assess", "check")
    assert effects(office) == ["receive"]
    let_go(office, "assess", "check")
    await ended(run)
    assert sorted(effects(office)) == ["assess", "check", "receive"]


@pytest.mark.parametrize(("first", "second"), [("pack", "pay"), ("pay", "pack")])
async def test_03_what_joins_two_branches_waits_for_both_and_runs_once(office: Office, first: str, second: str) -> None:
    run = await start(office, "03-synchronization")
    let_go(office, first)
    view = await run.until(lambda view: statuses(view)[first] == "completed")
    assert statuses(view)["ship"] == "pending"
    let_go(office, second)
    await ended(run)
    assert effects(office) == [first, second, "ship"]


@pytest.mark.parametrize(("amount", "chosen"), [(100, "refund"), (101, "look")])
async def test_04_exactly_one_branch_is_taken(office: Office, amount: int, chosen: str) -> None:
    run = await start(office, "04-exclusive-choice", {"amount": amount})
    await ended(run)
    assert effects(office) == ["request", chosen]


@pytest.mark.parametrize("how", ["card", "transfer"])
async def test_05_after_either_branch_the_merge_runs_once(office: Office, how: str) -> None:
    run = await start(office, "05-simple-merge", {"how": how})
    await ended(run)
    assert effects(office) == [how, "book"]


@pytest.mark.parametrize("needed", [[], ["fire"], ["police", "ambulance"], ["police", "fire", "ambulance"]])
async def test_06_any_number_of_branches_is_taken(office: Office, needed: list[str]) -> None:
    run = await start(office, "06-multi-choice", {"needed": needed})
    await ended(run)
    assert sorted(effects(office)) == sorted(["call", *needed])


async def test_07_the_merge_waits_for_every_branch_that_was_taken_and_for_no_other(office: Office) -> None:
    run = await start(office, "07-structured-synchronizing-merge", {"needed": ["police", "ambulance"]})
    let_go(office, "police")
    view = await run.until(lambda view: statuses(view)["police"] == "completed")
    assert (statuses(view)["fire"], statuses(view)["report"]) == ("skipped", "pending")
    let_go(office, "ambulance")
    await ended(run)
    assert effects(office) == ["police", "ambulance", "report"]


async def test_08_the_step_after_the_merge_runs_once_for_each_branch_as_that_branch_ends(office: Office) -> None:
    run = await start(office, "08-multi-merge")
    await under_way(office, "trade[0].foundations", "trade[1].plumbing", "trade[2].roof")
    for item, step in ((2, "roof"), (0, "foundations"), (1, "plumbing")):
        let_go(office, f"trade[{item}].{step}")
        await run.until(lambda view: statuses(view)[f"trade[{item}].inspect"] == "completed")  # noqa: B023
    await ended(run)
    assert [what for _, step, what in office.ledger if step.endswith("inspect")] == ["roof", "foundations", "plumbing"]
    assert len(office.ledger) == 6


@pytest.mark.parametrize(
    ("taken", "ran"),
    [
        ({"a": True, "b": True}, ["a", "after_a", "b", "either", "last"]),
        ({"a": True, "b": False}, ["a", "after_a", "either", "last"]),
        ({"a": False, "b": True}, ["b", "either", "last"]),
        ({"a": False, "b": False}, []),
    ],
)
async def test_37_crossing_branches_merge_when_those_that_were_taken_have_ended(
    office: Office, taken: dict[str, bool], ran: list[str]
) -> None:
    run = await start(office, "37-local-synchronizing-merge", taken)
    if taken["a"]:
        let_go(office, "a")
        view = await run.until(lambda view: statuses(view)["after_a"] == "completed")
        assert not taken["b"] or statuses(view)["either"] == "pending"
    let_go(office, "b")
    await ended(run)
    assert effects(office) == ran


async def test_38_the_merge_waits_while_the_loop_can_come_round_again(office: Office) -> None:
    run = await start(office, "38-general-synchronizing-merge", {"rework": 2, "label": True})
    await run.until(lambda view: statuses(view)["label"] == "completed")
    let_go(office, "rework#1.mend")
    await under_way(office, "rework#2.mend")
    assert await run.status_of("ship") == "pending"
    let_go(office, "rework#2.mend")
    await ended(run)
    assert effects(office) == ["label", "rework#1.mend", "rework#2.mend", "ship"]


async def test_38_the_merge_does_not_wait_for_a_loop_that_was_not_entered(office: Office) -> None:
    run = await start(office, "38-general-synchronizing-merge", {"rework": 0, "label": True})
    await ended(run)
    assert effects(office) == ["label", "ship"]
