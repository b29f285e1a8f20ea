"""Days pass: waits, reminders, escalation, expiry, deadlines. On the time-skipping server."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from contracts.people import Deputy
from tests.workflows.office import Office, open_office

ASK = """
    process: asking
    steps:
      ok:
        approval:
          title: Go?
          from: [{any_of: [group:finance]}]
          remind: 4h
          escalate: {after: 1d, to: [user:cfo]}
          expires: 3d
"""


@pytest_asyncio.fixture
async def office(time_skipping: WorkflowEnvironment) -> AsyncIterator[Office]:
    async with open_office(time_skipping.client) as opened:
        yield opened


async def test_an_approval_nobody_decides_is_rejected_when_it_expires(
    office: Office, time_skipping: WorkflowEnvironment
) -> None:
    started = await time_skipping.get_current_time()
    run = await office.start(ASK)
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Rejected"
    assert "nobody decided in time" in failed.value.cause.message
    assert await time_skipping.get_current_time() - started >= timedelta(days=3)


async def test_reminders_and_escalation_come_when_due(office: Office, time_skipping: WorkflowEnvironment) -> None:
    run = await office.start(ASK)
    await run.waiting("ok")
    assert (await run.view()).waiting[0].who == ("group:finance",)
    await time_skipping.sleep(timedelta(hours=25))
    # The sixth is due with the escalation, and each a moment after four hours.
    view = await run.until(lambda view: view.waiting[0].reminded == 6)
    assert "user:cfo" in view.waiting[0].who
    await run.handle.signal("decide", {"step": "ok", "decision": "approve", "by": "user:cfo"})
    assert (await run.handle.result()).status == "completed"


async def test_what_time_did_is_in_the_record(office: Office, time_skipping: WorkflowEnvironment) -> None:
    run = await office.start(ASK)
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    events = await run.events("approval.")
    kinds = [event.kind.removeprefix("approval.") for event in events]
    assert kinds.count("reminded") == 17
    assert [kind for kind in kinds if kind != "reminded"] == ["opened", "escalated", "expired", "decided"]
    assert {event.by for event in events} == {"system:surefoot"}
    escalated = next(event for event in events if event.kind == "approval.escalated")
    assert escalated.data["to"] == {"user:cfo": ["user:cfo"]}
    assert events[-1].data["outcome"] == "rejected"


async def test_a_claim_lapses_and_a_deputy_acts_until_the_absent_one_is_back(
    office: Office, time_skipping: WorkflowEnvironment
) -> None:
    back = await time_skipping.get_current_time() + timedelta(hours=3)
    office.deputies = {"user:ann": (Deputy(user="user:dan", until=back, why="away"),)}
    run = await office.start("process: p\nsteps: {ok: {approval: {title: Go?, from: [{any_of: [user:ann]}]}}}")
    await run.waiting("ok")
    await run.decide("ok", "claim", "dan")
    assert "it is claimed by user:dan" in await run.refused("ok", "approve", "ann")
    await time_skipping.sleep(timedelta(hours=1))
    await run.decide("ok", "comment", "ann", comment="mine again")
    assert (await run.view()).waiting[0].people == ("user:ann", "user:dan")
    await time_skipping.sleep(timedelta(hours=2))
    assert "user:dan is not asked" in await run.refused("ok", "approve", "dan")
    await run.decide("ok", "approve", "ann")
    await run.handle.result()


async def test_expiry_approves_only_when_told_to(office: Office) -> None:
    run = await office.start("""
        process: lenient
        steps: {ok: {approval: {title: Go?, from: [{any_of: [user:ann]}], expires: 2h, on_expiry: approve}}}
        output: ${ steps.ok.output.decision }
    """)
    assert (await run.handle.result()).output == "approve"


async def test_a_wait_lasts_its_time_and_one_until_a_moment_until_then(
    office: Office, time_skipping: WorkflowEnvironment
) -> None:
    started = await time_skipping.get_current_time()
    moment = (started + timedelta(days=40)).isoformat()
    run = await office.start(
        """
        process: waits
        steps: {a: {wait: 30d}, b: {wait: {until: "${ input.at }"}}}
    """,
        {"at": moment},
    )
    await run.handle.result()
    ended = (await run.view()).ended
    assert ended is not None
    assert timedelta(days=40) <= ended - started < timedelta(days=41)


async def test_a_wait_until_what_is_no_time_is_an_incident(office: Office) -> None:
    run = await office.start(
        """
        process: no-time
        steps: {a: {wait: {until: "${ input.at }"}}}
    """,
        {"at": "tomorrow"},
    )
    assert "no RFC 3339 time" in (await run.parked("a")).incidents[0].error.message


async def test_a_group_that_is_not_done_by_its_deadline_fails_as_its_step_says(office: Office) -> None:
    run = await office.start("""
        process: late
        steps:
          g:
            deadline: 1h
            on_failure: fail
            steps: {a: {tool: do.work}, w: {wait: 2h, needs: [a]}}
    """)
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert "not done within its deadline of 1h" in str(failed.value.cause)
