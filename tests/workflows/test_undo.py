"""Effects are taken back: in reverse, through groups, items and sub-processes, on failure and on cancel."""

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.workflows.office import UNDO, Office, effects, statuses, stuck_in_undo


async def test_abort_takes_effects_back_in_reverse_through_groups_and_items(office: Office) -> None:
    run = await office.start(f"""
        process: taken-back
        steps:
          a: {{tool: do.work, {UNDO}}}
          g:
            needs: [a]
            steps:
              b: {{tool: do.work, {UNDO}}}
              c: {{tool: do.work, needs: [b], {UNDO}}}
          each: {{tool: do.work, for_each: "${{ [1, 2] }}", parallel: 1, needs: [g], {UNDO}}}
          stop: {{tool: do.work, with: {{fails: true}}, needs: [each]}}
    """)
    await run.parked("stop")
    view = await run.view()
    assert [call.args["of"] for step in view.steps for call in step.undo] == ["a", "g.b", "g.c", "each[0]", "each[1]"]
    await run.repair("stop", "abort", reason="no use")
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert "aborted by user:op: no use" in str(failed.value.cause)
    taken_back = effects(office, "undo")
    assert sorted(taken_back[:2]) == ["each[0]", "each[1]"]
    assert taken_back[2:] == ["g.c", "g.b", "a"]
    assert (await run.view()).status == "undone"


async def test_on_failure_fail_undoes_and_waits_for_effects_on_their_way(office: Office) -> None:
    run = await office.start(f"""
        process: on-their-way
        steps:
          slow: {{tool: do.held, {UNDO}}}
          bad: {{tool: do.work, with: {{fails: true}}, on_failure: fail}}
          never: {{tool: do.work, needs: [slow]}}
    """)
    await office.started["slow"].wait()
    await run.until(lambda view: statuses(view)["bad"] == "failed")
    office.gates["slow"].set()
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "ToolFailed"
    assert office.ledger == [("do", "slow", "held"), ("undo", "slow", "slow")]


async def test_what_needs_a_step_that_fails_the_run_never_starts(office: Office) -> None:
    run = await office.start("""
        process: never-started
        steps:
          bad: {tool: do.work, with: {fails: true}, on_failure: fail}
          parked: {tool: do.work, with: {fails: true}}
          after_bad: {tool: do.work, needs: [bad]}
          after_parked: {tool: do.work, needs: [parked]}
    """)
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert office.ledger == []
    aborted = await office.start("""
        process: never-started-either
        steps: {parked: {tool: do.work, with: {fails: true}}, after_parked: {tool: do.work, needs: [parked]}}
    """)
    await aborted.parked("parked")
    await aborted.repair("parked", "abort")
    with pytest.raises(WorkflowFailureError):
        await aborted.handle.result()
    assert office.ledger == []


async def test_a_read_in_flight_is_interrupted_when_the_run_stops_and_effects_are_undone(office: Office) -> None:
    run = await office.start(f"""
        process: interrupted
        steps:
          a: {{tool: do.work, {UNDO}}}
          read: {{tool: do.watch, needs: [a]}}
    """)
    await office.started["read"].wait()
    await run.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["a"]
    assert await run.status_of("read") == "cancelled"


@pytest.mark.parametrize("undo", [True, False])
async def test_cancel_undoes_when_told_to(office: Office, undo: bool) -> None:
    run = await office.start(f"""
        process: cancelled
        steps: {{a: {{tool: do.work, {UNDO}}}, w: {{wait: 1d, needs: [a]}}}}
    """)
    await run.waiting("w")
    await run.cancel(reason="changed my mind", undo=undo)
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert "cancelled by user:op: changed my mind" in str(failed.value.cause)
    assert effects(office, "undo") == (["a"] if undo else [])
    assert (await run.view()).status == "cancelled"


async def test_cancelling_through_temporal_undoes_too(office: Office) -> None:
    run = await office.start(f"""
        process: cancelled-outside
        steps: {{a: {{tool: do.work, {UNDO}}}, w: {{wait: 1d, needs: [a]}}}}
    """)
    await run.waiting("w")
    await run.handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["a"]


async def test_an_undo_that_keeps_failing_is_parked_and_repaired(office: Office) -> None:
    run = await stuck_in_undo(office)
    view = await run.view()
    assert "undo failed: cannot be undone now" in view.incidents[0].error.message
    assert effects(office, "undo") == []
    office.broken.clear()
    await run.repair("b", "retry")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["b", "a"]


async def test_a_sub_process_gives_its_output_and_is_undone_with_its_parent(office: Office) -> None:
    office.children["child-one"] = office.definition(f"""
        process: child-one
        input: {{type: object, required: [name]}}
        steps:
          x: {{tool: do.work, with: {{what: "${{ input.name }}"}}, {UNDO}}}
          y: {{tool: do.work, needs: [x], {UNDO}}}
        output: ${{ steps.x.output.what }}
    """)
    run = await office.start("""
        process: parent-one
        steps:
          sub: {process: child-one, with: {name: Ada}}
          stop: {tool: do.work, with: {what: "${ steps.sub.output }", fails: true}}
    """)
    view = await run.parked("stop")
    assert view.incidents[0].input == {"what": "Ada", "fails": True}
    await run.repair("stop", "abort")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert [args for effect, _, args in office.ledger if effect == "undo"] == ["y", "x"]


async def test_input_that_does_not_fit_a_sub_process_parks_its_step(office: Office) -> None:
    office.children["child-two"] = office.definition("""
        process: child-two
        input: {type: object, required: [name]}
        steps: {x: {tool: do.work}}
    """)
    run = await office.start("""
        process: parent-two
        steps: {sub: {process: child-two}}
    """)
    assert '"name" is a required property' in (await run.parked("sub")).incidents[0].error.message
