"""A step that fails: retries, parking, every repair, and writes whose outcome is unknown."""

import pytest
from temporalio.client import WorkflowUpdateFailedError

from tests.workflows.office import Office, effects, statuses


async def test_failures_that_may_pass_are_retried_and_counted(office: Office) -> None:
    run = await office.start("""
        process: retries
        steps: {look: {tool: do.look, with: {fail_times: 2}, retry: {attempts: 3, first: 10ms}}}
        output: ${ steps.look.output }
    """)
    assert (await run.handle.result()).output == 3
    assert next(step.attempts for step in (await run.view()).steps) == 3


async def test_a_failed_step_parks_while_the_rest_goes_on_and_retry_completes_it(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("""
        process: parking
        steps:
          a: {tool: do.work}
          after_a: {tool: do.work, needs: [a]}
          other: {tool: do.work}
    """)
    view = await run.parked("a")
    assert view.status == "attention"
    incident = view.incidents[0]
    assert (incident.error.type, incident.error.message) == ("ToolFailed", "a is broken")
    assert incident.blocks == ("after_a",)
    await run.until(lambda view: statuses(view)["other"] == "completed")
    office.broken.clear()
    await run.repair("a", "retry")
    await run.handle.result()
    assert sorted(effects(office)) == ["a", "after_a", "other"]


async def test_amended_arguments_are_checked_and_used_under_a_key_of_their_own(office: Office) -> None:
    run = await office.start("""
        process: amending
        steps: {a: {tool: do.work, with: {what: first, fails: true}}}
        output: ${ steps.a.output }
    """)
    await run.parked("a")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.repair("a", "amend", value={"wat": 1})
    assert "wat" in str(refused.value.cause)
    await run.repair("a", "amend", value={"what": "second"})
    assert (await run.handle.result()).output == {"id": "a", "what": "second", "key": f"{run.id}/a~1"}


async def test_complete_takes_only_an_output_that_fits(office: Office) -> None:
    run = await office.start("""
        process: by-hand
        steps:
          a:
            tool: do.work
            with: {fails: true}
            output: {type: object, required: [id], properties: {id: {type: string}}}
        output: ${ steps.a.output.id }
    """)
    await run.parked("a")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.repair("a", "complete", value={"id": 7})
    assert "does not fit" in str(refused.value.cause)
    await run.repair("a", "complete", value={"id": "by-hand"})
    assert (await run.handle.result()).output == "by-hand"


async def test_skip_skips_what_needs_only_that(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("""
        process: skipping
        steps: {a: {tool: do.work}, b: {tool: do.work, needs: [a]}, c: {tool: do.work}}
    """)
    await run.parked("a")
    await run.repair("a", "skip", reason="not needed")
    assert (await run.handle.result()).status == "completed"
    assert statuses(await run.view()) == {"a": "skipped", "b": "skipped", "c": "completed"}


async def test_several_incidents_are_repaired_one_by_one(office: Office) -> None:
    run = await office.start("""
        process: three-incidents
        steps: {each: {tool: do.work, for_each: "${ [1, 2, 3] }", with: {fails: true}}}
    """)
    await run.parked("each[0]", "each[1]", "each[2]")
    for index, action in enumerate(["skip", "complete", "amend"]):
        value = {"skip": None, "complete": {"id": "x"}, "amend": {"what": "y"}}[action]
        await run.repair(f"each[{index}]", action, value=value)
    assert (await run.handle.result()).status == "completed"


async def test_on_failure_continue_gives_null_and_goes_on(office: Office) -> None:
    run = await office.start("""
        process: going-on
        steps:
          a: {tool: do.work, with: {fails: true}, on_failure: continue}
          b: {tool: do.work, needs: [a], with: {what: "${ steps.a.status }"}}
        output: {a: "${ steps.a.output }", b: "${ steps.b.output.what }"}
    """)
    assert (await run.handle.result()).output == {"a": None, "b": "failed"}


async def test_criteria_that_do_not_hold_fail_the_step(office: Office) -> None:
    run = await office.start("""
        process: criteria
        steps: {a: {tool: do.work, success: "${ output.id == 'b' }"}}
    """)
    view = await run.parked("a")
    assert view.incidents[0].error.type == "CriteriaNotMet"


async def test_an_expression_that_fails_is_an_incident_and_no_stuck_task(office: Office) -> None:
    run = await office.start("""
        process: bad-expression
        steps: {a: {tool: do.work, with: {what: "${ input.nope }"}}}
    """)
    view = await run.parked("a")
    assert view.incidents[0].error.type == "ExpressionFailed"
    assert "there is no field 'nope'" in view.incidents[0].error.message


async def test_arguments_that_do_not_fit_are_never_sent(office: Office) -> None:
    run = await office.start(
        """
        process: wrong-arguments
        input: {}
        steps: {a: {tool: do.work, with: {what: "${ input.n }"}}}
    """,
        {"n": 3},
    )
    view = await run.parked("a")
    assert view.incidents[0].error.type == "ArgumentsInvalid"
    assert office.calls["a"] == 0


@pytest.mark.parametrize("items", ["'text'", "{'a': 1}", "[1].map(x, x + input.missing)"])
async def test_for_each_over_what_is_no_list_is_an_incident(office: Office, items: str) -> None:
    run = await office.start(f"""
        process: no-list
        steps: {{each: {{tool: do.work, for_each: "${{ {items} }}"}}}}
    """)
    assert (await run.parked("each")).incidents[0].step == "each"


async def test_an_unknown_outcome_is_reconciled_by_the_check_and_not_repeated(office: Office) -> None:
    run = await office.start("""
        process: reconciled
        steps: {pay: {tool: pay.checked, with: {amount: 5}}}
        output: ${ steps.pay.output }
    """)
    assert (await run.handle.result()).output == "paid-1"
    assert office.ledger == [("pay", "pay", 5)]


async def test_a_write_known_not_to_have_happened_is_made_again(office: Office) -> None:
    run = await office.start("""
        process: repeated
        steps: {pay: {tool: pay.checked, with: {amount: 0}, retry: {first: 10ms}}}
        output: ${ steps.pay.output }
    """)
    assert (await run.handle.result()).output == "paid-2"
    assert office.ledger == [("pay", "pay", 0)]


async def test_an_unknown_outcome_without_a_check_parks_with_its_key(office: Office) -> None:
    run = await office.start("""
        process: blind
        steps: {pay: {tool: pay.blind, with: {amount: 5}}}
    """)
    error = (await run.parked("pay")).incidents[0].error
    assert error.type == "OutcomeUnknown"
    assert f"{run.id}/pay" in error.message
    assert office.calls["pay"] == 1
