"""Time passes: while nobody can say who is asked, and until nobody may decide any more."""

import asyncio

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from contracts.names import DECIDE
from tests.workflows.office import open_office, statuses
from tests.workflows.test_deciding import PAY, ask


async def test_silence_that_agrees_is_nobodys_decision(time_skipping: WorkflowEnvironment) -> None:
    async with open_office(time_skipping.client) as office:
        run = await ask(office, expires="PT1H", on_expiry="approve")
        await run.decide("ok", "approve", "alice")
        assert (await run.handle.result()).output == "approve null"


async def test_a_vote_after_the_time_does_not_count_though_no_worker_saw_it_pass(client: Client) -> None:
    async with open_office(client) as office:
        run = await office.start("""
            process: late-votes
            steps:
              ok:
                approval:
                  title: Go?
                  from: [{any_of: [group:finance], count: 2}]
                  expires: 1s
                  on_reject: continue
              end: {approval: {title: End?, from: [{any_of: [user:carol]}]}}
            output: ${ steps.ok.output.decision }
        """)
        await run.waiting("end")
        await run.until(lambda view: statuses(view)["ok"] in ("waiting", "completed"))
        queue = office.queue
    fired = EventType.EVENT_TYPE_TIMER_FIRED
    async with asyncio.timeout(60):
        while fired not in [event.event_type for event in (await run.handle.fetch_history()).events]:
            await asyncio.sleep(0.05)
    for user in ("alice", "bob"):
        await run.handle.signal(DECIDE, {"step": "ok", "decision": "approve", "by": user})
    async with open_office(client, queue=queue):
        view = await run.until(lambda view: len(view.refused) == 2)
        assert all("ok does not wait for a decision; it is completed" in said for said in view.refused)
        await run.decide("end", "approve", "carol")
        assert (await run.handle.result()).output == "reject"


async def test_an_approval_opens_when_the_directory_answers_again(time_skipping: WorkflowEnvironment) -> None:
    async with open_office(time_skipping.client) as office:
        office.away = 12
        run = await office.start(
            PAY.replace("not_by", "expires: 1d\n          not_by"), {"amount": 5}, started_by="sam"
        )
        assert "nobody decided in time" in await run.failed()
