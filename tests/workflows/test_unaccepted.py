"""A step whose output is not accepted has had its effect all the same, and that is taken back with the run."""

import pytest
from temporalio.client import WorkflowFailureError

from tests.workflows.office import UNDO, Office, Run, effects, statuses

CHECKED = f"""
    process: checked
    steps:
      a: {{tool: do.work, with: {{what: odd}}, success: "${{ output.what == 'fine' }}", {UNDO}}}
      after: {{wait: 1d, needs: [a]}}
"""


async def taken_back(run: Run) -> None:
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert statuses(await run.view())["a"] == "undone"


def keys_of_undo(office: Office) -> list[str]:
    return [key for (kind, *_), key in zip(office.ledger, office.keys, strict=True) if kind == "undo"]


async def test_it_is_taken_back_when_the_run_is_given_up(office: Office) -> None:
    run = await office.start(CHECKED)
    view = await run.parked("a")
    assert [(call.tool, call.args) for call in view.steps[0].undo] == [("do.undo", {"of": "a"})]
    await run.repair("a", "abort")
    await taken_back(run)
    assert office.ledger == [("do", "a", "odd"), ("undo", "a", "a")]
    assert (await run.view()).status == "undone"


async def test_it_is_taken_back_when_the_run_fails_by_itself(office: Office) -> None:
    run = await office.start(CHECKED.replace("success:", "on_failure: fail, success:"))
    await taken_back(run)
    assert office.ledger == [("do", "a", "odd"), ("undo", "a", "a")]


async def test_it_is_taken_back_when_the_step_was_skipped(office: Office) -> None:
    run = await office.start(CHECKED.replace("needs: [a]", "needs: []"))
    await run.parked("a")
    await run.repair("a", "skip")
    await run.until(lambda view: statuses(view)["a"] == "skipped")
    await run.cancel()
    await taken_back(run)
    assert office.ledger == [("do", "a", "odd"), ("undo", "a", "a")]


async def test_a_step_completed_by_hand_is_taken_back_once_by_what_was_said_of_it(office: Office) -> None:
    run = await office.start(CHECKED)
    await run.parked("a")
    await run.repair("a", "complete", value={"id": "by hand"})
    await run.waiting("after")
    await run.cancel()
    await taken_back(run)
    assert office.ledger == [("do", "a", "odd"), ("undo", "a", "by hand")]


async def test_a_step_whose_next_try_is_accepted_is_taken_back_once(office: Office) -> None:
    run = await office.start(
        CHECKED.replace("output.what == 'fine'", "state.total > 0")
        + "\n      gate: {tool: do.held}\n      count: {state: {key: total, add: 1}, needs: [gate]}"
    )
    await run.parked("a")
    office.gates["gate"].set()
    await run.until(lambda view: statuses(view)["count"] == "completed")
    await run.repair("a", "retry")
    await run.waiting("after")
    await run.cancel()
    await taken_back(run)
    assert office.calls["a"] == 2
    assert effects(office, "undo") == ["a"]


async def test_each_call_of_a_tool_that_is_not_idempotent_is_an_effect_to_be_taken_back(office: Office) -> None:
    run = await office.start("""
        process: paid
        steps:
          a:
            tool: pay.once
            success: "${ output == 'paid 3' }"
            undo: {tool: do.undo, with: {of: "${ output }"}}
          after: {wait: 1d, needs: [a]}
    """)
    view = await run.parked("a")
    assert "though what it did stands" in next(
        each.does for each in view.incidents[0].actions if each.action == "retry"
    )
    await run.repair("a", "retry")
    await run.until(lambda view: office.calls["a"] == 2 and bool(view.incidents))
    await run.repair("a", "retry")
    await run.waiting("after")
    await run.cancel()
    await taken_back(run)
    assert [of for kind, _, of in office.ledger if kind == "undo"] == ["paid 3", "paid 2", "paid 1"]
    assert len(set(keys_of_undo(office))) == 3


async def test_what_other_arguments_did_is_taken_back_too_the_last_first(office: Office) -> None:
    run = await office.start(CHECKED)
    await run.parked("a")
    await run.repair("a", "amend", value={"what": "fine"})
    await run.waiting("after")
    await run.cancel()
    await taken_back(run)
    assert keys_of_undo(office) == [f"{run.id}/a~1/undo", f"{run.id}/a/undo"]


async def test_an_undo_that_its_output_does_not_suffice_for_is_asked_about(office: Office) -> None:
    run = await office.start(CHECKED.replace("output.id }", "output.number }"))
    await run.parked("a")
    await run.repair("a", "abort")
    await run.until(lambda view: any("undo failed" in incident.error.message for incident in view.incidents))
    await run.repair("a", "amend", value={"of": "what it was"})
    await taken_back(run)
    assert office.ledger == [("do", "a", "odd"), ("undo", "a", "what it was")]


async def test_sub_processes_that_completed_are_all_taken_back(office: Office) -> None:
    office.children["child"] = office.definition(f"""
        process: child
        steps: {{x: {{tool: do.work, {UNDO}}}}}
        output: ${{ steps.x.output.key }}
    """)
    run = await office.start("""
        process: parent
        steps: {a: {process: child, success: "${ output == 'fine' }"}}
    """)
    await run.parked("a")
    await run.repair("a", "retry")
    await run.until(lambda view: len(effects(office)) == 2)
    await run.parked("a")
    await run.repair("a", "abort")
    await taken_back(run)
    assert keys_of_undo(office) == [f"{run.id}/a~1/x/undo", f"{run.id}/a/x/undo"]


async def test_a_rerun_takes_back_what_the_run_before_left(office: Office) -> None:
    run = await office.start(CHECKED)
    await run.parked("a")
    await run.repair("a", "amend", value={"what": "still odd"})
    await run.until(lambda view: office.calls["a"] == 2)
    await run.parked("a")
    await run.repair("a", "abort", value={"undo": False})
    await run.failed()
    assert effects(office, "undo") == []
    rerun = await run.again()
    await rerun.parked("a")
    await rerun.repair("a", "abort")
    await taken_back(rerun)
    assert keys_of_undo(office) == [f"{run.id}/a~1/undo", f"{run.id}/a/undo"]


PART = f"""
    process: part
    steps:
      a: {{tool: do.work, success: "${{ output.what == 'fine' }}", on_failure: continue, {UNDO}}}
      b: {{tool: do.work, needs: [a], {UNDO}}}
"""
WHOLE = """
    process: whole
    steps:
      a: {process: part}
      after: {wait: 1d, needs: [a]}
"""


async def test_of_a_part_that_is_taken_back_it_comes_after_what_came_after_it(office: Office) -> None:
    office.children["part"] = office.definition(PART)
    run = await office.start(WHOLE)
    await run.waiting("after")
    await run.cancel()
    await taken_back(run)
    assert keys_of_undo(office) == [f"{run.id}/a/b/undo", f"{run.id}/a/a/undo"]


async def test_a_part_whose_undo_cannot_be_worked_out_fails_and_its_operator_is_asked(office: Office) -> None:
    office.children["part"] = office.definition(PART.replace("output.id }", "output.number }", 1))
    run = await office.start(WHOLE)
    await run.until(lambda view: office.calls["b"] == 1)
    part = Run(office, office.client.get_workflow_handle(f"{run.id}/a"))
    await part.until(lambda view: any("undo failed" in incident.error.message for incident in view.incidents))
    await part.repair("a", "amend", value={"of": "what it was"})
    view = await run.parked("a")
    assert "there is no field 'number'" in view.incidents[0].error.message
    assert [(step, of) for kind, step, of in office.ledger if kind == "undo"] == [("b", "b"), ("a", "what it was")]


async def test_an_operator_who_says_how_to_undo_one_effect_has_the_other_undone_too(office: Office) -> None:
    run = await office.start(CHECKED.replace("output.id }", 'output.what == "odd" ? output.number : output.id }'))
    await run.parked("a")
    await run.repair("a", "amend", value={"what": "fine"})
    await run.waiting("after")
    await run.cancel()
    await run.until(lambda view: any("undo failed" in incident.error.message for incident in view.incidents))
    await run.repair("a", "amend", value={"of": "the odd one"})
    await taken_back(run)
    assert [of for kind, _, of in office.ledger if kind == "undo"] == ["a", "the odd one"]


async def given_up(office: Office, text: str, step: str = "a") -> Run:
    """A run whose step was not accepted, and which was aborted with all it did left as it is."""
    run = await office.start(text)
    await run.parked(step)
    await run.repair(step, "abort", value={"undo": False})
    await run.failed()
    return run


@pytest.mark.parametrize("undo", ["", ', undo: {tool: do.undo, with: {of: "${ output }"}}'])
async def test_a_rerun_calls_a_tool_that_is_not_idempotent_once_more_by_order_only(office: Office, undo: str) -> None:
    text = f"process: p\nsteps: {{a: {{tool: pay.once, success: \"${{output == 'paid 2'}}\"{undo}}}}}"
    run = await given_up(office, text)
    assert (await (await run.again()).failed()).startswith("Refused: a: what was done stands")
    assert office.calls["a"] == 1
    await (await run.again(redo=True)).handle.result()
    assert office.calls["a"] == 2


async def test_a_parent_retries_a_part_that_called_such_a_tool_by_order_only(office: Office) -> None:
    office.children["part"] = office.definition(
        "process: part\nsteps: {x: {tool: pay.once, on_failure: fail, success: \"${output == 'paid 2'}\"}}"
    )
    run = await given_up(office, "process: whole\nsteps: {a: {process: part}}")
    assert (await (await run.again()).failed()).startswith("Refused: a/x (pay.once): what was done stands")
    await (await run.again(redo=True)).handle.result()
    assert office.calls["x"] == 2


async def test_a_run_terminated_while_such_an_effect_is_taken_back_is_to_finish_that_first(office: Office) -> None:
    office.broken.add("undo a")
    run = await office.start(CHECKED)
    await run.parked("a")
    await run.repair("a", "abort")
    await run.until(lambda view: any("undo failed" in incident.error.message for incident in view.incidents))
    await run.handle.terminate("in the middle of it")
    assert "the run was stopped while it took back a" in await (await run.again()).failed()
