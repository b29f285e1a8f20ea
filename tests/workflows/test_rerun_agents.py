"""Agents of a run that is started again: their calls are known again, unless what they did was taken back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from temporalio.client import Client

from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.office import UNDO, Office, effects, open_office


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


async def test_an_agent_that_is_asked_again_makes_its_calls_under_their_old_keys(
    office: Office, endpoint: Endpoint
) -> None:
    for _ in range(2):
        endpoint.call(("do_work", {"what": "bolts"}))
    run = await office.start("""
        process: asked-again
        agents: {clerk: {instructions: You are a clerk., tools: [do.work], limits: {turns: 1}}}
        steps: {buy: {agent: clerk, task: Buy bolts.}}
    """)
    await run.parked("buy")
    await run.repair("buy", "abort", value={"undo": False})
    await run.failed()
    rerun = await run.again()
    await rerun.parked("buy")
    assert len(office.keys) == 2
    assert office.keys[0].startswith(f"{run.id}/buy/do.work/")
    assert office.keys[0] == office.keys[1]
    await rerun.repair("buy", "skip")
    await rerun.handle.result()


async def test_a_process_that_an_agent_ran_and_that_was_taken_back_is_run_anew(
    office: Office, endpoint: Endpoint
) -> None:
    for _ in range(2):
        endpoint.call(("process_order-bolts", {}))
        endpoint.say("bought")
    office.children["order-bolts"] = office.definition(f"""
        process: order-bolts
        input: {{type: object}}
        steps: {{order: {{tool: do.work, {UNDO}}}}}
    """)
    run = await office.start("""
        process: bought-anew
        agents: {clerk: {instructions: You are a clerk., tools: [process.order-bolts]}}
        steps: {buy: {agent: clerk, task: Buy bolts.}, stop: {tool: do.work, needs: [buy], with: {fails: true}}}
    """)
    await run.parked("stop")
    await run.repair("stop", "abort")
    await run.failed()
    assert effects(office, "undo") == ["buy"]
    rerun = await run.again()
    await rerun.parked("stop")
    first, undone, second = office.keys
    assert first.startswith(f"{run.id}/buy/process.order-bolts/")
    assert undone == f"{first}/undo"
    assert second == first.replace("/buy/", "/buy^1/")
    await rerun.repair("stop", "skip")
    await rerun.handle.result()


async def test_what_a_process_of_an_agent_or_the_agent_itself_did_and_no_undo_took_back_is_asked_about(
    office: Office, endpoint: Endpoint
) -> None:
    office.children["order-bolts"] = office.definition(f"""
        process: order-bolts
        input: {{type: object}}
        steps: {{order: {{tool: do.work, {UNDO}}}, ship: {{tool: do.work, needs: [order]}}}}
    """)
    for tools, said in (
        ("process.order-bolts", "buy/process.order-bolts/ship (do.work)"),
        ("process.order-bolts, do.work, state.put", "buy (agent clerk), buy/process.order-bolts/ship (do.work)"),
    ):
        endpoint.call(("process_order-bolts", {}))
        endpoint.say("bought")
        run = await office.start(f"""
            process: bought-anew
            agents: {{clerk: {{instructions: You are a clerk., tools: [{tools}]}}}}
            steps: {{buy: {{agent: clerk, task: Buy.}}, stop: {{tool: do.work, needs: [buy], with: {{fails: true}}}}}}
        """)
        await run.parked("stop")
        await run.repair("stop", "abort")
        await run.failed()
        before = list(office.ledger)
        assert (await (await run.again()).failed()).startswith(f"Refused: {said}: what was done stands")
        assert office.ledger == before
