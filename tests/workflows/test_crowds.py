"""Many say the same at once, or much at once: each counts once, and none that was acknowledged is lost."""

import asyncio

import pytest
from uuid_utils import uuid7

from contracts.decisions import Decision, Receipt
from contracts.names import DECIDE
from runtime.approvals import waiting_for
from runtime.deciding import asked_now, send
from tests.workflows.office import Office
from workflows.view import MAX_OPEN

MANY = 100
MANY_ITEMS = MAX_OPEN + 5
CROWD = tuple(f"user:p{number}" for number in range(MANY))


def approval(count: int) -> str:
    return f"""
        process: crowded
        steps:
          ok: {{approval: {{title: Go?, from: [{{any_of: [group:crowd], count: {count}}}]}}}}
        output: ${{ steps.ok.output.decision }}
    """


def yes(by: str, number: str) -> Decision:
    return Decision.model_validate({"step": "ok", "decision": "approve", "by": by, "id": number})


def busy() -> Decision:
    said = {"step": "ok", "decision": "comment", "by": "user:p2", "comment": "busy", "id": str(uuid7())}
    return Decision.model_validate(said)


async def test_a_hundred_times_the_same_decision_counts_once(office: Office) -> None:
    office.groups["group:crowd"] = CROWD
    run = await office.start(approval(2))
    await run.waiting("ok")
    same = yes("user:p1", str(uuid7()))
    signals = [asyncio.create_task(run.handle.signal(DECIDE, same)) for _ in range(MANY // 2)]
    answers = await asyncio.gather(*(send(office.client, run.id, same) for _ in range(MANY // 2)))
    await asyncio.gather(*signals)
    assert len({answer.outcome for answer in answers}) == 1
    assert [vote.by for vote in (await run.view()).waiting[0].votes] == ["user:p1"]
    await run.decide("ok", "approve", "p2")
    await run.handle.result()
    assert [event.by for event in await run.events("approval.approve")] == ["user:p1", "user:p2"]


@pytest.mark.slow
async def test_a_hundred_people_at_once_are_all_acknowledged_and_all_counted(office: Office) -> None:
    office.groups["group:crowd"] = CROWD
    run = await office.start(approval(MANY))
    await run.waiting("ok")
    answers: list[Receipt] = await asyncio.gather(
        *(send(office.client, run.id, yes(person, str(uuid7()))) for person in CROWD)
    )
    assert [answer.status for answer in answers].count("approved") == 1
    assert (await run.handle.result()).output == "approve"
    assert {event.by for event in await run.events("approval.approve")} == set(CROWD)


@pytest.mark.slow
async def test_a_repeat_after_the_run_continued_as_new_has_the_same_answer(office: Office) -> None:
    office.groups["group:crowd"] = CROWD
    run = await office.start(approval(2))
    await run.waiting("ok")
    first = await run.decide("ok", "approve", "p1", id="d1")
    before = (await run.handle.describe()).run_id
    while (await run.handle.describe()).run_id == before:
        # Each is acknowledged, so that the server's count of updates grows until the run begins a new history.
        await asyncio.gather(*(send(office.client, run.id, busy()) for _ in range(8)))
    assert await run.decide("ok", "approve", "p1", id="d1") == first
    assert len((await run.view()).waiting[0].votes) == 1


async def test_whoever_is_asked_one_thing_among_hundreds_finds_it_and_decides_on_what_it_is(office: Office) -> None:
    run = await office.start(
        f"""
        process: batch
        steps:
          pay:
            for_each: "${{ input }}"
            parallel: {MANY_ITEMS}
            tool: do.work
            with: {{what: "${{ item }}"}}
            approve: {{from: [{{when: "${{ item == 'last' }}", any_of: [user:rare]}}, {{any_of: [user:often]}}]}}
        """,
        [*["one"] * (MANY_ITEMS - 1), "last"],
    )
    last = f"pay[{MANY_ITEMS - 1}]"
    await run.until(lambda view: len(view.waiting) == MAX_OPEN)
    async with asyncio.timeout(60):
        while not (found := (await waiting_for(office.client, "user:rare", ["user:rare"]))[0]):
            await asyncio.sleep(0.1)
    assert [each.waiting.step for each in found] == [last]
    _, asked = await asked_now(office.client, run.id, last)
    assert asked is not None
    assert asked.hash == found[0].waiting.hash
    assert (await run.refused("nothing", "approve", "often")).endswith(" more")
    await run.cancel()
