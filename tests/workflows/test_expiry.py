"""Time passes: while nobody can say who is asked, and until nobody may decide any more."""

import asyncio
from datetime import timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.testing import WorkflowEnvironment

from contracts.names import DECIDE
from tests.workflows.office import open_office
from tests.workflows.test_deciding import PAY, ask


async def test_silence_that_agrees_is_nobodys_decision(time_skipping: WorkflowEnvironment) -> None:
    async with open_office(time_skipping.client) as office:
        run = await ask(office, expires="PT1H", on_expiry="approve")
        await run.decide("ok", "approve", "alice")
        assert (await run.handle.result()).output == "approve null"


async def test_a_vote_after_the_time_does_not_count_though_no_worker_saw_it_pass(
    time_skipping: WorkflowEnvironment,
) -> None:
    client = time_skipping.client
    async with open_office(client) as office:
        run = await ask(office, expires="PT1H", on_reject="continue")
        queue = office.queue
    await time_skipping.sleep(timedelta(hours=2))
    fired = EventType.EVENT_TYPE_TIMER_FIRED
    async with asyncio.timeout(20):
        while fired not in [event.event_type for event in (await run.handle.fetch_history()).events]:
            await asyncio.sleep(0.05)
    for user in ("alice", "bob"):
        await run.handle.signal(DECIDE, {"step": "ok", "decision": "approve", "by": user})
    async with open_office(client, queue=queue):
        assert (await run.handle.result()).output == "reject null"
        assert "ok does not wait for a decision; it is completed" in (await run.view()).refused[0]


async def test_an_approval_opens_when_the_directory_answers_again(time_skipping: WorkflowEnvironment) -> None:
    async with open_office(time_skipping.client) as office:
        office.away = 12
        run = await office.start(
            PAY.replace("not_by", "expires: 1d\n          not_by"), {"amount": 5}, started_by="sam"
        )
        assert "nobody decided in time" in await run.failed()
