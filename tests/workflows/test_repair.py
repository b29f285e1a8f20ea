"""A step that fails: retries, parking, every repair, and writes whose outcome is unknown."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from tests.workflows.office import Office, Run, effects, statuses


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
    assert "wat" in await run.unrepaired("a", "amend", value={"wat": 1})
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
    assert "does not fit" in await run.unrepaired("a", "complete", value={"id": 7})
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


async def test_another_step_stands_in_for_one_that_failed(office: Office) -> None:
    office.broken.add("pay")
    run = await office.start("""
        process: standing-in
        steps:
          pay: {tool: do.work}
          tell: {tool: do.work, with: {what: "${ steps.pay.output.id }"}}
          hold: {wait: 1d}
          cheque: {tool: do.work, needs: [hold]}
          after_cheque: {tool: do.work, needs: [cheque]}
        output: ${ steps.tell.output.what }
    """)
    await run.parked("pay")
    await run.waiting("hold")
    assert "declares no fallback" in await run.unrepaired("pay", "fallback")
    assert "tell cannot stand in for pay: it waits for pay" in await run.unrepaired("pay", "fallback", value="tell")
    assert "there is no such step; these can: cheque" in await run.unrepaired("pay", "fallback", value="nope")
    assert "it is waiting" in await run.unrepaired("pay", "fallback", value="hold")
    await run.repair("pay", "fallback", value="cheque")
    await run.repair("hold", "amend", value="0s")
    assert (await run.handle.result()).output == "cheque"
    assert effects(office)[0] == "cheque"
    assert sorted(effects(office)) == ["after_cheque", "cheque", "tell"]
    assert statuses(await run.view())["pay"] == "failed"


async def test_a_declared_fallback_is_taken_for_a_write_whose_outcome_is_unknown(office: Office) -> None:
    run = await office.start("""
        process: declared
        steps:
          pay: {tool: pay.blind, with: {amount: 5}, on_failure: {fallback: cheque}}
          cheque: {tool: do.work}
    """)
    await run.parked("pay")
    assert (await run.repair("pay", "fallback")).outcome == "pay goes on with cheque in its place"
    await run.handle.result()
    assert effects(office) == ["cheque"]


async def test_a_declared_fallback_that_another_step_replaces_is_skipped(office: Office) -> None:
    run = await office.start("""
        process: replaced
        steps:
          pay: {tool: pay.blind, with: {amount: 5}, on_failure: {fallback: cheque}}
          cheque: {tool: do.work}
          hold: {wait: 1d}
          cash: {tool: do.work, needs: [hold]}
    """)
    await run.parked("pay")
    await run.waiting("hold")
    await run.repair("pay", "fallback", value="cash")
    await run.repair("hold", "amend", value="0s")
    await run.handle.result()
    assert statuses(await run.view()) == {
        "pay": "failed",
        "cheque": "skipped",
        "hold": "completed",
        "cash": "completed",
    }


async def test_of_several_repairs_at_once_one_counts_and_the_others_are_told_what_it_did(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("process: raced\nsteps: {a: {tool: do.work}, w: {wait: 1d}}")
    await run.parked("a")
    office.broken.clear()
    said = await asyncio.gather(
        *(run.repair("a", action) for action in ("skip", "retry", "skip")), return_exceptions=True
    )
    refused = [str(answer.cause) for answer in said if isinstance(answer, WorkflowUpdateFailedError)]
    assert len(refused) == 2
    assert all(
        "a has no incident to repair (it is " in answer and "since user:op said " in answer for answer in refused
    )
    await run.handle.terminate()


async def test_a_step_between_two_tries_is_tried_at_once(office: Office) -> None:
    office.broken.add("look")
    run = await office.start("""
        process: impatient
        steps: {look: {tool: do.look, retry: {attempts: 3, first: 1h, max: 1h}}}
    """)
    await until_waiting_to_retry(run)
    office.broken.clear()
    assert "is tried again now" in (await run.repair("look", "retry", id="now")).outcome
    assert (await run.handle.result()).status == "completed"


async def until_waiting_to_retry(run: Run) -> None:
    async with asyncio.timeout(60):
        while not any(
            pending.attempt > 1 and pending.HasField("next_attempt_schedule_time")
            for pending in (await run.handle.describe()).raw_description.pending_activities
        ):
            await asyncio.sleep(0.05)


async def test_a_call_under_way_is_not_tried_twice(office: Office) -> None:
    run = await office.start("process: under-way\nsteps: {a: {tool: do.held}}")
    await office.started["a"].wait()
    assert "its try 1 is under way" in await run.unrepaired("a", "retry")
    office.gates["a"].set()
    await run.handle.result()
    assert effects(office) == ["a"]


async def test_what_does_not_fit_is_refused_with_what_holds_instead(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("""
        process: refusing
        steps:
          a: {tool: do.work}
          ok: {approval: {title: Go?, from: [{any_of: [user:ada], count: 2}]}}
          each: {tool: do.work, for_each: "${ [1].map(x, x + input.missing) }"}
    """)
    await run.parked("a", "ok", "each")
    cases: list[tuple[str, str, dict[str, Any], str]] = [
        ("nope", "retry", {}, "nope has no incident to repair (there is no such step"),
        ("a", "replan", {}, "was not planned by an agent"),
        ("a", "retry", {"value": {"what": "x"}}, "retry takes no value; use amend"),
        ("a", "amend", {"value": [1]}, "must be a JSON object"),
        ("a", "amend", {"value": {"wat": 1}}, "these arguments do not fit do.work"),
        ("a", "complete", {"value": 7}, "this output does not fit the step's schema"),
        ("a", "burn", {}, "action: Input should be"),
        ("a", "retry", {"by": "no one"}, "by: String should match"),
        ("ok", "complete", {"value": {"decision": "approve"}}, "needs a reason"),
        ("ok", "complete", {"value": {"decision": "maybe"}, "reason": "x"}, '"approve" or "reject"'),
        ("ok", "skip", {}, "needs a reason"),
        ("ok", "amend", {"value": {}}, "is a approval step"),
        ("each", "complete", {"value": {}}, 'is not of type "array"'),
    ]
    for step, action, more, why in cases:
        assert why in await run.unrepaired(step, action, **more), (step, action, more)
    assert {incident.step for incident in (await run.view()).incidents} == {"a", "ok", "each"}
    await run.handle.terminate()


async def test_a_signal_that_does_not_hold_is_listed_and_one_that_does_counts(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("process: by-signal\nsteps: {a: {tool: do.work}}")
    await run.parked("a")
    await run.handle.signal("repair", {"step": "a", "action": "amend", "by": "user:op", "value": {"wat": 1}})
    view = await run.until(lambda view: bool(view.refused))
    assert "do not fit do.work" in view.refused[0]
    await run.handle.signal("repair", {"step": "a", "action": "skip", "by": "user:op"})
    await run.handle.result()


async def test_what_operators_did_is_in_the_record_with_who_why_and_what_changed(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("process: recorded\nsteps: {a: {tool: do.work, with: {what: old}}, w: {wait: 1d}}")
    await run.parked("a")
    await run.repair("a", "amend", value={"what": "new"}, reason="typo")
    await run.until(lambda view: bool(view.incidents) and len(view.incidents[0].tried) == 2)
    office.broken.clear()
    await run.repair("w", "amend", value="0s", reason="no use to wait")
    await run.repair("", "pause", reason="lunch")
    await run.repair("", "resume")
    await run.repair("a", "retry")
    await run.handle.result()
    events = await run.events("step.repaired", "step.amended", "run.paused", "run.resumed")
    assert [(event.kind, event.by, event.step, event.reason) for event in events] == [
        ("step.repaired", "user:op", "a", "typo"),
        ("step.amended", "user:op", "w", "no use to wait"),
        ("run.paused", "user:op", None, "lunch"),
        ("run.resumed", "user:op", None, ""),
        ("step.repaired", "user:op", "a", ""),
    ]
    assert events[0].data == {
        "action": "amend",
        "difference": [{"path": "arguments.what", "before": "old", "after": "new"}],
    }
