"""A run of a thousand steps with twenty incidents: each is repaired once, and nothing else is done again."""

import asyncio
from collections import Counter

import pytest
from temporalio.client import Client

from contracts.decisions import Receipt
from runtime.incidents import open_incidents
from tests.workflows.office import Office, effects, statuses

STEPS, EVERY = 1_000, 50


@pytest.mark.slow
async def test_twenty_incidents_of_a_thousand_steps_are_repaired_each_once(office: Office) -> None:
    broken = [f"s{index}" for index in range(0, STEPS, EVERY)]
    lines = [
        f"  s{index}: {{tool: do.work{f', needs: [s{index - 1}]' if f's{index - 1}' in broken else ''}}}"
        for index in range(STEPS)
    ]
    office.broken.update(broken)
    run = await office.start("process: thousand\nsteps:\n" + "\n".join(lines))
    async with asyncio.timeout(100):
        while len(office.ledger) < STEPS - 2 * len(broken):
            await asyncio.sleep(0.1)
    await run.parked(*broken)
    office.broken.clear()
    untouched = office.calls.copy()
    gate = asyncio.Semaphore(10)  # The server takes so many updates of one run at a time.

    async def repaired(step: str) -> Receipt:
        async with gate:
            return await run.repair(step, "retry", id=step)

    receipts = await asyncio.gather(*map(repaired, broken))
    assert {receipt.status for receipt in receipts} == {"retry"}
    assert (await run.handle.result()).status == "completed"
    assert Counter(effects(office)) == Counter(f"s{index}" for index in range(STEPS))
    again = {step: office.calls[step] - untouched[step] for step in office.calls}
    waited = {f"s{int(step[1:]) + 1}" for step in broken}
    assert {step for step, times in again.items() if times} == {*broken, *waited}
    assert set(again.values()) == {0, 1}
    assert set(statuses(await run.view()).values()) == {"completed"}


@pytest.mark.slow
async def test_all_incidents_of_a_run_are_found_however_many(client: Client, office: Office) -> None:
    """A view has 200 of them."""
    items = list(range(230))
    run = await office.start(
        "process: very-broken\nsteps: {a: {for_each: '${ input }', parallel: 250, tool: do.work, with: {fails: true}}}",
        items,
    )
    async with asyncio.timeout(100):
        while (await run.view({"limit": 1})).incidents_in_all < len(items):
            await asyncio.sleep(0.1)
    found: list[str] = []
    async with asyncio.timeout(60):
        while not found:  # Temporal's index is a moment behind.
            found = [each.incident.step for each in (await open_incidents(client, "very-broken"))[0]]
    assert sorted(found) == sorted(f"a[{index}]" for index in items)
    await run.handle.terminate()
