"""Processes that agents run: checked input, one run for each call, effects that are taken back with the agent's run."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError

from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.office import UNDO, Office, Run, effects, open_office, statuses

CHILD = f"""
    process: order-parts
    description: Orders parts.
    input: {{type: object, required: [name], properties: {{name: {{type: string}}}}}}
    steps:
      reserve: {{tool: do.work, with: {{what: "${{ input.name }}"}}, {UNDO}}}
      order: {{tool: do.work, needs: [reserve], with: {{what: "${{ input.name }}"}}, {UNDO}}}
    output: {{ordered: "${{ steps.order.output.what }}"}}
"""
CALL = ("process_order-parts", {"name": "bolts"})


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


async def start(
    office: Office, child: str = CHILD, *, after: str = "", tools: str = "process.order-parts", started_by: str = ""
) -> Run:
    made = office.definition(child)
    office.children[made.process.process] = made
    return await office.start(
        f"""
        process: buying
        agents: {{clerk: {{instructions: You are a clerk., tools: [{tools}]}}}}
        steps:
          buy: {{agent: clerk, task: Buy bolts.}}
          {after}
        output: ${{ steps.buy.output }}
        """,
        started_by=started_by or None,
    )


async def test_an_agent_runs_a_process_and_sees_its_output(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("process_order-parts", {"nam": "bolts"}))
    endpoint.call(CALL)
    endpoint.say("bought")
    run = await start(office)
    assert (await run.handle.result()).output == "bought"
    offered = endpoint.requests[0].body["tools"][0]["function"]
    assert "Orders parts." in offered["description"]
    assert offered["parameters"]["required"] == ["name"]
    assert endpoint.requests[1].messages[-1]["content"].startswith("error: process.order-parts cannot be called: ")
    assert endpoint.requests[2].messages[-1]["content"] == '{"ordered":"bolts"}'
    child = (await run.view()).steps[0].children[0]
    assert (child.tool, child.status) == ("process.order-parts", "completed")
    assert child.id.startswith(f"{run.id}/buy/process.order-parts/")


async def test_what_it_did_is_taken_back_with_the_agents_run(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(CALL)
    endpoint.say("bought")
    run = await start(office, after="stop: {tool: do.work, needs: [buy], with: {fails: true}, on_failure: fail}")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert [(kind, of) for kind, _, of in office.ledger if kind == "undo"] == [("undo", "order"), ("undo", "reserve")]
    assert statuses(await run.view())["buy"] == "undone"


async def test_it_is_taken_back_also_when_the_agent_failed_after_it(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(CALL)
    endpoint.fail(401)
    run = await start(office)
    await run.parked("buy")
    assert len(effects(office)) == 2
    await run.repair("buy", "abort")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert [of for kind, _, of in office.ledger if kind == "undo"] == ["order", "reserve"]
    assert (await run.view()).status == "undone"


async def test_an_agent_that_is_tried_again_finds_the_run_that_completed(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(CALL)
    endpoint.fail(401)
    endpoint.call(CALL)
    endpoint.say("bought")
    run = await start(office, after="stop: {tool: do.work, needs: [buy], with: {fails: true}, on_failure: fail}")
    await run.parked("buy")
    await run.repair("buy", "retry")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office) == ["reserve", "order"]
    assert effects(office, "undo") == ["buy", "buy"]


async def test_a_process_that_failed_is_told_to_the_model_and_run_anew_by_the_next_call(
    office: Office, endpoint: Endpoint
) -> None:
    office.broken.add("order")
    endpoint.call(CALL)
    endpoint.fail(401)
    endpoint.call(CALL)
    endpoint.say("bought")
    run = await start(office, CHILD.replace("needs: [reserve],", "needs: [reserve], on_failure: fail,"))
    await run.parked("buy")
    assert "order is broken" in endpoint.requests[1].messages[-1]["content"]
    assert effects(office, "undo") == ["reserve"]
    office.broken.clear()
    await run.repair("buy", "retry")
    assert (await run.handle.result()).output == "bought"
    assert effects(office) == ["reserve", "reserve", "order"]


async def test_an_approval_inside_is_decided_as_in_any_run_by_others_than_who_started_the_agents(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(CALL)
    endpoint.say("bought")
    approval = (
        "sure: {needs: [reserve], approval: {title: Sure?, from: [{any_of: [group:finance]}], not_by: [starter]}}"
    )
    child = CHILD.replace("      order: {", f"      {approval}\n      order: {{").replace(
        "needs: [reserve], with", "needs: [sure], with"
    )
    run = await start(office, child, started_by="user:alice")
    view = await run.until(lambda view: view.steps[0].status == "running" and bool(effects(office)))
    assert view.status == "running"
    inner = await _called_by(office, run)
    waiting = (await inner.waiting("sure")).waiting[0]
    assert waiting.people == ("user:bob",)
    await inner.decide("sure", "approve", "user:bob")
    assert (await run.handle.result()).output == "bought"


async def test_a_run_that_is_cancelled_waits_for_a_write_inside_and_takes_all_back(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(CALL)
    child = CHILD.replace("order: {tool: do.work,", "order: {tool: do.held,").replace(
        'needs: [reserve], with: {what: "${ input.name }"}', "needs: [reserve]"
    )
    child = child.replace("    steps:\n", "    steps:\n      delivery: {wait: 1d}\n")
    run = await start(office, child.replace("steps.order.output.what", "steps.order.output.id"))
    await office.started["order"].wait()
    await run.cancel()
    inner = await _called_by(office, run)
    await inner.until(lambda view: statuses(view)["delivery"] == "cancelled")
    assert effects(office) == ["reserve"]
    office.gates["order"].set()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office) == ["reserve", "order"]
    assert effects(office, "undo") == ["order", "reserve"]


async def test_a_completed_process_of_an_agent_that_is_stopped_is_taken_back(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(CALL)
    endpoint.call(("do_watch", {}))
    run = await start(office, tools="process.order-parts, do.watch")
    await office.started["buy"].wait()
    await run.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert [of for kind, _, of in office.ledger if kind == "undo"] == ["order", "reserve"]
    view = await run.view()
    assert (view.status, statuses(view)["buy"], view.cost.calls) == ("cancelled", "undone", 2)


async def _called_by(office: Office, run: Run) -> Run:
    """The run of the process that the agent of a run called."""
    prefix = f"{run.id}/buy/process."
    async with asyncio.timeout(60):
        while True:
            async for found in office.client.list_workflows(f"WorkflowId STARTS_WITH '{prefix}'"):
                return Run(office, office.client.get_workflow_handle(found.id))
            await asyncio.sleep(0.05)
