"""Other arguments, another task, another moment: for steps that failed, wait or are still to start."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError

from contracts.decisions import Difference
from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.office import UNDO, Office, effects, open_office, statuses

AGENT = """
    process: amended-agent
    agents: {clerk: {instructions: You are a clerk.}}
    steps: {ask: {agent: clerk, task: "Weigh ${ input.what }."}}
    output: ${ steps.ask.output }
"""


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {
        "default": ModelAlias(model="test-model", base_url=endpoint.url),
        "better": ModelAlias(model="better-model", base_url=endpoint.url),
    }
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


async def test_a_step_that_has_not_begun_starts_with_what_was_amended(office: Office) -> None:
    run = await office.start("""
        process: ahead
        steps:
          a: {tool: do.held}
          b: {tool: do.work, with: {what: "old ${ steps.a.output.id }"}}
    """)
    await office.started["a"].wait()
    receipt = await run.repair("b", "amend", value={"what": "new"}, reason="the customer called")
    assert receipt.difference == (Difference(path="arguments.what", before="old ${ steps.a.output.id }", after="new"),)
    office.gates["a"].set()
    await run.handle.result()
    assert office.ledger[-1] == ("do", "b", "new")


async def test_a_preview_tells_the_difference_and_does_nothing(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("process: previewed\nsteps: {a: {tool: do.work, with: {what: old}}}")
    await run.parked("a")
    said = {"value": {"what": "new"}}
    seen = await run.preview("a", "amend", **said)
    assert seen.difference == (Difference(path="arguments.what", before="old", after="new"),)
    assert await run.preview("a", "amend", **said) == seen
    assert [incident.step for incident in (await run.view()).incidents] == ["a"]
    assert office.calls["a"] == 1
    office.broken.clear()
    assert await run.repair("a", "amend", **said) == seen
    await run.handle.result()


async def test_an_agent_is_tried_again_with_another_task_other_instructions_and_another_model(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.fail(400, message="no")
    run = await office.start(AGENT, {"what": "gold"})
    await run.parked("ask")
    receipt = await run.repair(
        "ask", "amend", agent={"task": "Weigh silver.", "instructions": "You are a jeweller.", "model": "better"}
    )
    assert receipt.difference == (
        Difference(path="agent.task", before="Weigh gold.", after="Weigh silver."),
        Difference(path="agent.instructions", before="You are a clerk.", after="You are a jeweller."),
        Difference(path="agent.model", before="default", after="better"),
    )
    endpoint.say("12 g")
    assert (await run.handle.result()).output == "12 g"
    last = endpoint.requests[-1]
    assert last.body["model"] == "better-model"
    assert last.messages[0]["content"].startswith("You are a jeweller.")
    assert last.messages[1]["content"].startswith("Weigh silver.")


async def test_what_no_agent_takes_is_refused(office: Office, endpoint: Endpoint) -> None:
    endpoint.fail(400, message="no")
    run = await office.start(AGENT, {"what": "gold"})
    await run.parked("ask")
    assert "none of them empty" in await run.unrepaired("ask", "amend", agent={"task": " "})
    assert "none of them empty" in await run.unrepaired("ask", "amend", agent={})
    assert "say what to try it with" in await run.unrepaired("ask", "amend")
    assert "retry changes nothing of an agent" in await run.unrepaired("ask", "retry", agent={"task": "x"})
    assert "agent.colour: Extra inputs" in await run.unrepaired("ask", "amend", agent={"colour": "red"})
    await run.handle.terminate()


async def test_arguments_that_people_are_to_agree_to_become_another_thing_to_decide(office: Office) -> None:
    run = await office.start("""
        process: asked-again
        steps:
          pay: {tool: do.work, with: {what: old}, approve: {from: [{any_of: [user:ada, user:bob], count: 2}]}}
    """)
    before = (await run.waiting("pay")).waiting[0]
    await run.decide("pay", "approve", "user:ada")
    receipt = await run.repair("pay", "amend", value={"what": "new"})
    assert receipt.difference == (Difference(path="arguments.what", before="old", after="new"),)
    after = (await run.view()).waiting[0]
    assert (after.votes, after.hash != before.hash) == ((), True)
    with pytest.raises(WorkflowUpdateFailedError):
        await run.decide("pay", "approve", "user:bob", hash=before.hash)
    await run.decide("pay", "approve", "user:bob", hash=after.hash)
    await run.decide("pay", "approve", "user:ada", hash=after.hash)
    await run.handle.result()
    assert office.ledger == [("do", "pay", "new")]


async def test_a_wait_is_cut_short_or_made_longer(office: Office) -> None:
    run = await office.start("process: waiting-less\nsteps: {w: {wait: 1d}, a: {tool: do.work, needs: [w]}}")
    due = (await run.waiting("w")).waiting[0].until
    assert due is not None
    longer = await run.repair("w", "amend", value={"until": "2099-12-01T09:00:00Z"})
    assert longer.difference[0].path == "until"
    assert longer.difference[0].after == "2099-12-01T09:00:00Z"
    assert "a duration from now" in await run.unrepaired("w", "amend", value={"until": "soon"})
    await run.repair("w", "amend", value="0s")
    await run.handle.result()
    assert effects(office) == ["a"]


async def test_input_that_a_process_does_not_take_is_refused_before_it_is_run_again(office: Office) -> None:
    office.children["picky-child"] = office.definition("""
        process: picky-child
        input: {type: object, required: [name], properties: {name: {type: string}}}
        steps: {x: {tool: do.work, with: {what: "${ input.name }"}}}
    """)
    run = await office.start("process: picky-parent\nsteps: {sub: {process: picky-child, with: {name: 7}}}")
    await run.parked("sub")
    assert "does not fit process picky-child" in await run.unrepaired("sub", "amend", value={"name": 8})
    assert [incident.step for incident in (await run.view()).incidents] == ["sub"]
    await run.repair("sub", "amend", value={"name": "Ada"})
    await run.handle.result()
    assert office.ledger == [("do", "x", "Ada")]


async def test_what_is_at_work_or_done_is_not_amended(office: Office) -> None:
    run = await office.start("""
        process: too-late
        steps:
          done: {tool: do.work}
          busy: {tool: do.held}
          g: {needs: [busy], steps: {x: {tool: do.work}}}
          each: {tool: do.work, for_each: [1], needs: [busy]}
          ok: {approval: {title: Go?, from: [{any_of: [user:ada]}]}}
    """)
    await office.started["busy"].wait()
    await run.waiting("ok")
    await run.until(lambda view: statuses(view)["done"] == "completed")
    value = {"what": "x"}
    assert "it is completed; what is at work goes on" in await run.unrepaired("done", "amend", value=value)
    assert "it is running; what is at work goes on" in await run.unrepaired("busy", "amend", value=value)
    assert "there is no such step, or what it is inside has not begun" in await run.unrepaired(
        "g.x", "amend", value=value
    )
    assert "has no arguments to amend" in await run.unrepaired("g", "amend", value=value)
    assert "amend its items" in await run.unrepaired("each", "amend", value=value)
    assert "has no arguments to amend" in await run.unrepaired("ok", "amend", value=value)
    await run.handle.terminate()


async def test_taking_back_goes_on_with_other_arguments_under_another_key(office: Office) -> None:
    office.broken.add("undo a")
    run = await office.start(
        f"process: amended-undo\nsteps: {{a: {{tool: do.work, {UNDO}}}, w: {{wait: 1d, needs: [a]}}}}"
    )
    await run.waiting("w")
    await run.cancel()
    await run.parked("a")
    assert "these arguments do not fit do.undo" in await run.unrepaired("a", "amend", value={"off": 1})
    assert "is being taken back, which abort does not go with" in await run.unrepaired("a", "abort")
    office.broken.clear()
    receipt = await run.repair("a", "amend", value={"of": "b"})
    assert receipt.difference == (Difference(path="arguments.of", before="a", after="b"),)
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert office.ledger[-1] == ("undo", "a", "b")


async def test_a_round_keeps_its_amendment_though_those_around_it_are_forgotten(office: Office) -> None:
    office.broken.update(("h.r#2", "stop"))
    run = await office.start("""
        process: amended-round
        steps:
          h:
            undo: {tool: do.undo, with: {of: h}}
            steps: {r: {tool: do.work, with: {what: old}, repeat: {until: "${ output.id == 'h.r#3' }"}}}
          stop: {tool: do.work, needs: [h], on_failure: fail}
    """)
    await run.parked("h.r#2")
    office.broken.discard("h.r#2")
    await run.repair("h.r#2", "amend", value={"what": "new"})
    await run.failed()
    office.broken.clear()
    await (await run.again()).handle.result()
    rounds = [("do", "h.r#1", "old"), ("do", "h.r#2", "new"), ("do", "h.r#3", "old")]
    assert office.ledger == [*rounds, ("undo", "h", "h"), *rounds, ("do", "stop", "")]
    assert len(set(office.keys)) == len(office.keys)
