"""A waiting run moves to a newer definition when what it has begun is the same there, and else says why not."""

import asyncio
from textwrap import dedent

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from contracts.decisions import Receipt
from contracts.migration import Migration
from contracts.names import MIGRATE
from contracts.process import Process
from contracts.run import Definition, StepRecord
from contracts.state import StateEntry
from contracts.tools import ToolSpec
from language.source import load_yaml
from tests.workflows.office import Office, Run, effects
from workflows.migrating import obstacles
from workflows.plan import Plan

FIRST = """
    process: buying
    input: {type: object}
    steps:
      look: {tool: do.work, with: {what: "first look"}, undo: {tool: do.undo, with: {of: "${ output.id }"}}}
      ok:
        approval: {title: "Buy for ${ input.amount }?", from: [{any_of: [group:finance]}]}
      buy: {tool: do.work, needs: [look, ok], with: {what: "bought by the old file"}}
      tell: {tool: do.work, needs: [buy], with: {what: "told"}}
    output: ${ steps.buy.output.what }
"""
SECOND = (
    FIRST.replace("process: buying", "process: buying\n    version: 2")
    .replace("bought by the old file", "bought by the new file")
    .replace(
        '      tell: {tool: do.work, needs: [buy], with: {what: "told"}}',
        '      check: {tool: do.work, needs: [ok], with: {what: "checked"}}',
    )
)


async def move(run: Run, definition: Definition | None, *, dry_run: bool = False, by: str = "op") -> Receipt:
    message = Migration(by=by, reason="mended", definition=definition, dry_run=dry_run)
    receipt: Receipt = await run.handle.execute_update(MIGRATE, message, result_type=Receipt)
    return receipt


async def refused(run: Run, definition: Definition) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await move(run, definition)
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause.message


async def continued(run: Run) -> None:
    async with asyncio.timeout(60):
        while (await run.handle.describe()).run_id == run.handle.first_execution_run_id:
            await asyncio.sleep(0.02)


async def test_a_waiting_run_goes_on_with_what_it_has_and_the_newer_steps(office: Office) -> None:
    run = await office.start(FIRST, {"amount": 5})
    before = await run.until(lambda view: view.status == "waiting")
    receipt = await move(run, office.definition(SECOND))
    assert "goes on with version 2 of buying instead of version 1" in receipt.outcome
    changed = {each.path: (each.before, each.after) for each in receipt.difference}
    assert changed["steps.buy.with.what"] == ("bought by the old file", "bought by the new file")
    assert changed["version"] == (None, 2)
    assert {"steps.tell", "steps.check"} <= changed.keys()
    await continued(run)
    view = await run.until(lambda view: view.status == "waiting")
    assert (view.version, [step.id for step in view.steps]) == (2, ["look", "ok", "buy", "check"])
    assert view.waiting[0].since == before.waiting[0].since, "who was asked is not asked again"
    await run.decide("ok", "approve", "alice")
    assert (await run.handle.result()).output == "bought by the new file"
    assert effects(office).count("look") == 1
    assert sorted(effects(office)) == ["buy", "check", "look"]


async def test_a_dry_run_says_what_would_change_and_changes_nothing(office: Office) -> None:
    run = await office.start(FIRST, {"amount": 5})
    await run.until(lambda view: view.status == "waiting")
    receipt = await move(run, office.definition(SECOND), dry_run=True)
    assert receipt.status == "can_migrate"
    await run.decide("ok", "approve", "alice")
    assert (await run.handle.result()).output == "bought by the old file"
    assert (await run.handle.describe()).run_id == run.handle.first_execution_run_id


async def test_an_open_approval_that_is_another_is_asked_anew(office: Office) -> None:
    two = FIRST.replace("{any_of: [group:finance]}", "{any_of: [group:finance], count: 2}")
    run = await office.start(two, {"amount": 5})
    await run.until(lambda view: view.status == "waiting")
    await run.decide("ok", "approve", "alice")
    receipt = await move(run, office.definition(two.replace("Buy for", "Really buy for")))
    assert "ok is asked anew" in receipt.outcome
    await continued(run)
    view = await run.until(lambda view: any(wait.title == "Really buy for 5?" for wait in view.waiting))
    assert view.waiting[0].votes == ()
    assert view.waiting[0].people == ("user:alice", "user:bob")


async def test_what_was_done_keeps_a_run_where_it_is_and_every_obstacle_is_named(office: Office) -> None:
    run = await office.start(FIRST, {"amount": 5})
    await run.until(lambda view: view.status == "waiting")
    other = SECOND.replace(', undo: {tool: do.undo, with: {of: "${ output.id }"}}', "").replace(
        "approval: {title", "wait: 1h\n      ok2:\n        approval: {title"
    )
    said = await refused(run, office.definition(other))
    assert "look is completed, and its undo would change" in said
    assert "ok is waiting as a approval step, and is a wait step in it" in said
    same = await refused(run, office.definition(FIRST))
    assert "is on this definition of buying (version 1)" in same
    assert (await run.handle.describe()).run_id == run.handle.first_execution_run_id


async def test_a_run_is_not_moved_while_something_is_at_work(office: Office) -> None:
    busy = FIRST.replace("      ok:", "      hold: {tool: do.held}\n      ok:")
    run = await office.start(busy, {"amount": 5})
    await run.waiting("ok")
    await office.started["hold"].wait()
    assert "hold is at work; a run is moved while it waits" in await refused(run, office.definition(SECOND))
    office.gates["hold"].set()


async def test_a_moved_run_undoes_what_it_did_before(office: Office) -> None:
    run = await office.start(FIRST, {"amount": 5})
    await run.until(lambda view: view.status == "waiting")
    await move(run, office.definition(SECOND))
    await continued(run)
    await run.waiting("ok")
    await run.cancel()
    await run.until(lambda view: view.ended is not None)
    assert effects(office, "undo") == ["look"]


def definition(text: str, tools: tuple[str, ...] = ()) -> Definition:
    source = load_yaml(dedent(text), "test.yaml")
    process = Process.model_validate(source.data)
    return Definition.model_construct(
        process=process, tools={name: ToolSpec.model_construct(name=name) for name in tools}, hash=text
    )


OLD = """
process: p
steps:
  a: {tool: t}
  b: {needs: [a], steps: {c: {tool: t}, d: {needs: [c], tool: t}}}
  e: {tool: t, needs: [b], for_each: [1, 2]}
"""
A = "a: {tool: t}"
INSIDE = {"a": "completed", "b": "running", "b.c": "completed"}
ROWS: list[tuple[dict[str, str], str, list[str]]] = [
    ({}, OLD, []),
    ({"a": "completed"}, OLD.replace(A, "a: {tool: t, description: why, timeout: 5s}"), []),
    ({"a": "completed"}, OLD.replace(A, "a: {tool: u}"), ["a is completed, and its tool would change"]),
    ({"a": "attention"}, OLD.replace(A, "a: {tool: t, with: {x: 1}}"), ["a is attention, and its with"]),
    ({}, OLD.replace(A, "a: {tool: u}"), []),
    (INSIDE, OLD.replace("d: {needs: [c], tool: t}", "f: {wait: 1h}"), []),
    (
        INSIDE,
        OLD.replace("c: {tool: t}, d: {needs: [c], tool: t}", "d: {tool: t}"),
        ["b.c is completed, and is"],
    ),
    (
        {"a": "completed", "b": "completed", "b.c": "completed", "b.d": "completed"},
        OLD.replace("c: {tool: t},", "c: {tool: t}, f: {tool: t},"),
        ["b is completed, and f would be added inside"],
    ),
    ({"a": "completed"}, OLD.replace("{c: {tool: t}", "{c: {tool: t, needs: [d]}"), ["in a circle: c"]),
    ({}, OLD.replace("process: p", "process: q"), ["it is of process q, and the run is one of p"]),
    ({}, f"{OLD}\ninput: {{type: object, required: [n]}}", ["the run's input does not fit it"]),
    ({}, f"{OLD}\nstate: {{k: {{schema: {{type: string}}}}}}", ["state.k does not fit it"]),
]


@pytest.mark.parametrize(("records", "new", "said"), ROWS)
def test_what_keeps_a_run_where_it_is(records: dict[str, str], new: str, said: list[str]) -> None:
    old = definition(OLD)
    made = {
        name: StepRecord.model_validate({"id": name, "kind": "steps" if name == "b" else "tool", "status": status})
        for name, status in records.items()
    }
    plan = Plan(old.process.steps, made)
    state = {"k": StateEntry(value=1)} if "state:" in new else {}
    found = list(obstacles(plan, old, definition(new, ("t", "u")), {}, state))
    assert len(found) == len(said), found
    assert all(part in text for part, text in zip(said, found, strict=True)), found


def test_a_definition_brings_the_tools_of_what_was_done() -> None:
    old = definition(OLD)
    plan = Plan(old.process.steps, {"a": StepRecord(id="a", kind="tool", status="completed")})
    found = list(obstacles(plan, old, definition(OLD, ("u",)), {}, {}))
    assert found == ["a needs tool t, which it does not bring"]
