"""The same steps several times over: WCP-12 to WCP-15, WCP-34 to WCP-36, WCP-41, WCP-42."""

import pytest

from tests.patterns.files import child, ended, let_go, publish, start, under_way
from tests.workflows.office import Office, effects, statuses

pytestmark = pytest.mark.slow


async def test_12_what_follows_does_not_wait_for_the_instances(office: Office) -> None:
    run = await start(office, "12-multiple-instances-without-synchronization", {"names": ["ann", "ben"]})
    await under_way(office, "fine[0]", "fine[1]")
    view = await run.until(lambda view: statuses(view)["file"] == "completed")
    assert (statuses(view)["fine[0]"], statuses(view)["fine[1]"]) == ("running", "running")
    let_go(office, "fine[0]", "fine[1]")
    await ended(run)
    assert sorted(effects(office)) == ["file", "fine[0]", "fine[1]", "list"]


async def test_13_the_instances_that_the_file_names_run_at_once_and_what_follows_waits_for_all(office: Office) -> None:
    run = await start(office, "13-multiple-instances-design-time")
    await under_way(office, "sign[0]", "sign[1]", "sign[2]")
    let_go(office, "sign[2]", "sign[0]")
    view = await run.until(lambda view: statuses(view)["sign[0]"] == statuses(view)["sign[2]"] == "completed")
    assert statuses(view)["publish"] == "pending"
    let_go(office, "sign[1]")
    await ended(run)
    assert effects(office)[2:] == ["sign[1]", "publish"]


@pytest.mark.parametrize(("finding", "looks"), [("grave", 3), ("slight", 1), ("none", 0)])
async def test_14_an_earlier_step_says_how_many_instances_there_are(office: Office, finding: str, looks: int) -> None:
    run = await start(office, "14-multiple-instances-run-time", {"finding": finding})
    instances = [f"look[{index}]" for index in range(looks)]
    await under_way(office, *instances)
    assert effects(office) == (["diagnose"] if looks else effects(office))
    let_go(office, *instances)
    await ended(run)
    assert sorted(effects(office)[1:-1]) == instances
    assert effects(office)[-1] == "treat"


async def test_15_instances_are_added_while_others_are_at_work_and_what_follows_waits_for_all(office: Office) -> None:
    run = await start(office, "15-multiple-instances-without-run-time")
    first = await run.waiting("another")
    assert statuses(first)["hear"] == "running"
    await run.decide("another", "approve", "inspector")
    second = await child(run, "next")
    await second.waiting("another")
    await second.decide("another", "approve", "inspector")
    third = await child(second, "next")
    await third.waiting("another")
    await third.decide("another", "reject", "inspector", comment="that was the last")
    for hearing in (run, second, third):
        await hearing.until(lambda view: statuses(view)["hear"] == "running")
    assert effects(office) == []
    let_go(office, "hear")
    await ended(run)
    assert effects(office) == ["hear", "hear", "hear", "report"]


async def test_34_two_of_three_instances_are_enough_and_the_third_still_ends(office: Office) -> None:
    run = await start(office, "34-static-partial-join-instances", {"jurors": ["ann", "ben", "cleo"]})
    await under_way(office, *(f"ask[{index}].answer" for index in range(3)))
    let_go(office, "ask[2].answer")
    view = await run.until(lambda view: statuses(view)["ask[2]"] == "completed")
    assert (statuses(view)["ask[2].enough"], statuses(view)["decide"]) == ("skipped", "pending")
    let_go(office, "ask[0].answer")
    view = await run.until(lambda view: statuses(view)["decide"] == "completed")
    assert statuses(view)["ask[1].answer"] == "running"
    let_go(office, "ask[1].answer")
    await ended(run)
    assert effects(office) == ["ask[2].answer", "ask[0].answer", "decide", "ask[1].answer"]


async def test_35_two_of_three_instances_cancel_the_third(office: Office) -> None:
    run = await start(office, "35-cancelling-partial-join-instances", {"jurors": ["ann", "ben", "cleo"]})
    await under_way(office, *(f"ask[{index}].answer" for index in range(3)))
    let_go(office, "ask[2].answer")
    view = await run.until(lambda view: statuses(view)["ask[2]"] == "completed")
    assert (statuses(view)["ask[2].enough"], statuses(view)["decide"]) == ("skipped", "pending")
    let_go(office, "ask[0].answer")
    await ended(run)
    after = statuses(await run.view())
    assert [after[f"ask[{index}].answer"] for index in range(3)] == ["completed", "cancelled", "completed"]
    assert after["ask"] == "cancelled"
    assert effects(office) == ["decide"]


async def test_36_instances_come_until_the_condition_holds_and_those_at_work_then_still_end(office: Office) -> None:
    run = await start(office, "36-dynamic-partial-join-instances", {"bags": 2})
    await publish(office, "helper.came", key="1")
    await under_way(office, "helper[0].fill")
    await publish(office, "helper.came", key="2")
    await publish(office, "helper.came", key="3")
    await under_way(office, "helper[1].fill", "helper[2].fill")
    let_go(office, "helper[0].fill")
    view = await run.until(lambda view: statuses(view)["helper[0]"] == "completed")
    assert (statuses(view)["helper[0].enough"], statuses(view)["carry"]) == ("skipped", "pending")
    let_go(office, "helper[2].fill")
    view = await run.until(lambda view: statuses(view)["carry"] == "completed")
    assert (view.status, statuses(view)["helper[3].came"]) == ("running", "cancelled")
    let_go(office, "helper[1].fill")
    await ended(run)
    assert effects(office) == ["helper[0].fill", "helper[2].fill", "carry", "helper[1].fill"]
    assert await run.status_of("helper[1].fill") == "completed"


async def test_41_three_threads_become_one(office: Office) -> None:
    run = await start(office, "41-thread-merge")
    boxes = [f"box[{index}].open" for index in range(3)]
    await under_way(office, *boxes)
    let_go(office, *boxes[:2])
    view = await run.until(lambda view: statuses(view)["box[0]"] == statuses(view)["box[1]"] == "completed")
    assert statuses(view)["book"] == "pending"
    let_go(office, *boxes[2:])
    await ended(run)
    assert effects(office).count("book") == 1
    assert office.ledger[-1] == ("do", "book", 'of ["a","b","c"]')


async def test_42_one_thread_becomes_as_many_as_there_are_machines_each_at_its_own_pace(office: Office) -> None:
    run = await start(office, "42-thread-split", {"machines": ["mill", "press", "saw"]})
    builds = [f"machine[{index}].build" for index in range(3)]
    await under_way(office, *builds)
    assert effects(office) == ["order"]
    let_go(office, builds[1])
    view = await run.until(lambda view: statuses(view)["machine[1].test"] == "completed")
    assert (statuses(view)[builds[0]], statuses(view)[builds[2]]) == ("running", "running")
    let_go(office, *builds)
    await ended(run)
    assert sorted(what for _, step, what in office.ledger if step.endswith("test")) == ["mill", "press", "saw"]
