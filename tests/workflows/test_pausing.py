"""A run that is paused: nothing starts, nothing is lost, and it goes on where it was."""

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from contracts.names import WAITS_FOR_ATTRIBUTE
from tests.workflows.office import UNDO, Office, effects, statuses


async def test_what_is_at_work_goes_to_its_end_and_nothing_starts(office: Office) -> None:
    run = await office.start("""
        process: paused
        steps:
          a: {tool: do.held}
          b: {tool: do.work, needs: [a]}
          each: {tool: do.work, for_each: [1, 2], needs: [a]}
          set: {state: {key: n, set: 1}, needs: [a]}
    """)
    await office.started["a"].wait()
    receipt = await run.repair("", "pause", reason="the bank is closed")
    assert receipt.status == "pause"
    view = await run.view()
    assert view.paused is not None
    assert (view.paused.by, view.paused.reason, view.status) == ("user:op", "the bank is closed", "running")
    office.gates["a"].set()
    view = await run.until(lambda view: statuses(view)["a"] == "completed")
    view = await run.until(lambda view: view.status == "waiting")
    assert {statuses(view)[step] for step in ("b", "each", "set")} == {"pending"}
    assert view.state == {}
    found = await run.handle.describe()
    assert found.typed_search_attributes[WAITS_FOR_ATTRIBUTE] == ["operator"]
    await run.repair("", "resume")
    await run.handle.result()
    assert sorted(effects(office)) == ["a", "b", "each[0]", "each[1]"]
    assert (await run.view()).paused is None


async def test_approvals_are_decided_meanwhile_and_what_they_allow_waits(office: Office) -> None:
    run = await office.start("""
        process: decided-meanwhile
        steps:
          pay: {tool: do.work, approve: {from: [{any_of: [user:ada]}]}}
          ok: {approval: {title: Go?, from: [{any_of: [user:ada]}]}}
          go: {tool: do.work, needs: [ok]}
    """)
    await run.waiting("pay")
    await run.waiting("ok")
    await run.repair("", "pause")
    await run.decide("pay", "approve", "user:ada")
    await run.decide("ok", "approve", "user:ada")
    view = await run.until(lambda view: statuses(view)["ok"] == "completed" and not view.waiting)
    assert view.status == "waiting"
    assert office.calls == {}
    await run.repair("", "resume")
    await run.handle.result()
    assert sorted(effects(office)) == ["go", "pay"]


async def test_a_repair_while_paused_counts_and_starts_once_the_run_goes_on(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("process: repaired-while-paused\nsteps: {a: {tool: do.work}}")
    await run.parked("a")
    office.broken.clear()
    await run.repair("", "pause")
    await run.repair("a", "retry")
    view = await run.until(lambda view: not view.incidents)
    assert (view.status, statuses(view)["a"]) == ("waiting", "pending")
    await run.repair("a", "amend", value={"what": "later"})
    await run.repair("", "resume")
    await run.handle.result()
    assert office.ledger == [("do", "a", "later")]


async def test_sub_processes_at_work_are_paused_with_it(office: Office) -> None:
    office.children["paused-child"] = office.definition("""
        process: paused-child
        steps: {x: {tool: do.held}, y: {tool: do.work, needs: [x]}}
    """)
    run = await office.start("process: paused-parent\nsteps: {sub: {process: paused-child}}")
    await office.started["x"].wait()
    await run.repair("", "pause", reason="wait")
    child = office.run_of(f"{run.id}/sub")
    view = await child.until(lambda view: view.paused is not None)
    assert view.paused is not None
    assert (view.paused.by, view.paused.reason) == ("system:parent", f"user:op said so of {run.id}: wait")
    office.gates["x"].set()
    await child.until(lambda view: statuses(view)["x"] == "completed")
    await child.until(lambda view: view.status == "waiting")
    await run.repair("", "resume")
    await run.handle.result()
    assert effects(office) == ["x", "y"]


async def test_a_paused_run_can_be_given_up(office: Office) -> None:
    run = await office.start(f"""
        process: paused-and-cancelled
        steps: {{a: {{tool: do.held, {UNDO}}}, b: {{tool: do.work, needs: [a]}}}}
    """)
    await office.started["a"].wait()
    await run.repair("", "pause")
    office.gates["a"].set()
    await run.until(lambda view: statuses(view)["a"] == "completed")
    await run.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["a"]
    assert office.calls["b"] == 0


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"action": "resume"}, "the run is not paused"),
        ({"action": "pause", "step": "w"}, "pause is about the whole run"),
        ({"action": "pause", "value": 1}, "pause takes no value"),
        ({"action": "note"}, "a note needs a text"),
        ({"action": "note", "reason": "x" * 2_001}, "at most 2000 characters"),
        ({"action": "note", "reason": "x", "step": "nope"}, "there is no step 'nope'"),
    ],
)
async def test_what_does_not_hold_is_refused(office: Office, said: dict[str, object], why: str) -> None:
    run = await office.start("process: refused\nsteps: {w: {wait: 1d}}")
    await run.waiting("w")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.repair(**{"step": "", **said})  # type: ignore[arg-type]  # wrong on purpose
    assert why in str(refused.value.cause)
    await run.handle.terminate()


async def test_pausing_twice_is_refused_with_who_did(office: Office) -> None:
    run = await office.start("process: paused-twice\nsteps: {w: {wait: 1d}}")
    await run.waiting("w")
    first = await run.repair("", "pause", id="p-1")
    assert await run.repair("", "pause", id="p-1") == first
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.repair("", "pause")
    assert "the run is paused already, by user:op" in str(refused.value.cause)
    await run.handle.terminate()


async def test_notes_are_kept_with_who_left_them(office: Office) -> None:
    run = await office.start("process: noted\nsteps: {w: {wait: 1d}}")
    await run.waiting("w")
    for number in range(52):
        await run.repair("w" if number % 2 else "", "note", reason=f"number {number}")
    view = await run.view()
    assert len(view.remarks) == 50
    assert [(remark.text, remark.step, remark.by) for remark in view.remarks[-2:]] == [
        ("number 50", None, "user:op"),
        ("number 51", "w", "user:op"),
    ]
    await run.handle.terminate()
