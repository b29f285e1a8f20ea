"""A history that comes near its limit: the run continues as new in time, whatever is open in it, and no more often than
it has grown. The server here suggests it after so few events that each of these runs comes to it many times."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.names import DECIDE
from tests.servers import hasty, open_server
from tests.workflows.office import Office, Run, effects, open_office

SUGGESTED_AFTER = 100
TAKES_ALL = "history.maximumBufferedEventsBatch=2000"
"""By itself the server fails a task when over a hundred events come while it is under way, be the machine busy."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty_client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with open_server(tmp_path_factory.mktemp("home"), hasty(SUGGESTED_AFTER)) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def office(hasty_client: Client) -> AsyncIterator[Office]:
    async with open_office(hasty_client) as opened:
        yield opened


async def generations(run: Run) -> int:
    """How often the run has begun a new history."""
    query = f"WorkflowId = '{run.id}'"
    return len([execution async for execution in run.office.client.list_workflows(query)])


async def until_continued(run: Run, more_than: int) -> int:
    async with asyncio.timeout(60):
        while (count := await generations(run)) <= more_than:
            await asyncio.sleep(0.1)
    return count


async def test_hundreds_of_open_waits_are_carried_over_and_do_not_end_each_history_at_once(office: Office) -> None:
    """Each history begins with the timers of them all, which alone are more than this server likes."""
    office.broken = {"broken"}
    run = await office.start(
        """
        process: many-waits
        steps:
          each: {wait: 1d, for_each: "${ input.items }"}
          ask: {approval: {title: Go on?, expires: 1d, from: [{any_of: [user:ann]}]}, for_each: "${ input.items }"}
          broken: {tool: do.work}
        """,
        {"items": list(range(150))},
    )
    await run.parked("broken")
    begun = await until_continued(run, 1)
    for number in range(20):
        await run.decide(f"ask[{number}]", "approve", "user:ann")
    view = await run.until(lambda view: view.status == "attention")
    assert len([step for step in view.steps if step.status == "waiting"]) == 2 * 150 - 20
    assert await generations(run) <= begun + 1
    assert await run.failed_tasks() == 0
    await run.cancel()


async def test_a_flood_of_signals_is_answered_and_the_run_goes_on(office: Office) -> None:
    run = await office.start("""
        process: flooded
        steps:
          ok: {approval: {title: Go on?, from: [{any_of: [user:ann]}]}}
          last: {tool: do.work, needs: [ok]}
    """)
    await run.waiting("ok")
    strange = {"step": "ok", "decision": "approve", "by": "user:eve"}
    for _ in range(20):
        await asyncio.gather(*(run.handle.signal(DECIDE, strange) for _ in range(50)))
    await until_continued(run, 1)
    view = await run.until(lambda view: len(view.refused) == 20)
    assert "user:eve" in view.refused[-1]
    await run.decide("ok", "approve", "user:ann")
    assert (await run.handle.result()).status == "completed"
    assert len(await run.events("message.refused")) == 1_000
    assert effects(office) == ["last"]


async def test_far_more_calls_than_may_be_under_way_at_once_are_each_made_once(tmp_path: Path) -> None:
    """The server fails the workflow task of a run that would have 2,000 under way."""
    async with open_server(tmp_path, hasty(SUGGESTED_AFTER), TAKES_ALL) as client, open_office(client) as office:
        run = await office.start(
            """
            process: wide
            steps:
              each: {tool: do.held, for_each: "${ input.items }"}
              last: {tool: do.work, needs: [each]}
            """,
            {"items": list(range(700))},
        )
        await run.until(lambda view: len([step for step in view.steps if step.status == "running"]) > 100)
        for number in range(700):
            office.gates[f"each[{number}]"].set()
        assert (await asyncio.wait_for(run.handle.result(), 120)).status == "completed"
        assert await run.failed_tasks() == 0
        done = effects(office)
        assert (len(done), len(set(done)), done[-1]) == (701, 701, "last")
