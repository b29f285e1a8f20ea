"""Days pass: waits, reminders, escalation, expiry, deadlines. On the time-skipping server."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

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
    view = await run.until(lambda view: "user:cfo" in view.waiting[0].who)
    assert view.waiting[0].reminded == 6
    await run.handle.signal("decide", {"step": "ok", "decision": "approve", "by": "user:cfo"})
    assert (await run.handle.result()).status == "completed"


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
    assert timedelta(days=40) <= await time_skipping.get_current_time() - started < timedelta(days=41)


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
