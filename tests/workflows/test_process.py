"""What a run does with its steps: order, skipping, items, groups, failures, repair and undo. On a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from contracts.names import DECIDE
from contracts.run import RunView
from tests.workflows.office import Office, open_office


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    async with open_office(client) as opened:
        yield opened


def statuses(view: RunView) -> dict[str, str]:
    return {step.id: step.status for step in view.steps}


def effects(office: Office, kind: str = "do") -> list[str]:
    return [step for effect, step, _ in office.ledger if effect == kind]


UNDO = "undo: {tool: do.undo, with: {of: '${ output.id }'}}"


# Order


async def test_a_step_starts_when_its_own_needs_have_settled_whatever_else_runs(office: Office) -> None:
    run = await office.start("""
        process: no-waves
        steps:
          slow: {tool: do.held}
          quick: {tool: do.work}
          next: {tool: do.work, needs: [quick]}
          last: {tool: do.work, needs: [next]}
          joined: {tool: do.work, needs: [slow, last]}
    """)
    view = await run.until(lambda view: statuses(view)["last"] == "completed")
    assert statuses(view) == {
        "slow": "running",
        "quick": "completed",
        "next": "completed",
        "last": "completed",
        "joined": "pending",
    }
    office.gates["slow"].set()
    await run.handle.result()
    assert effects(office) == ["quick", "next", "last", "slow", "joined"]


async def test_a_reference_is_a_need_and_carries_the_output(office: Office) -> None:
    run = await office.start(
        """
        process: references
        input: {type: object, properties: {name: {type: string}}}
        steps:
          b: {tool: do.work, with: {what: "after ${ steps.a.output.what }"}}
          a: {tool: do.work, with: {what: "${ input.name }"}}
        output: {both: ["${ steps.a.output.what }", "${ steps.b.output.what }"]}
    """,
        {"name": "Ada"},
    )
    assert (await run.handle.result()).output == {"both": ["Ada", "after Ada"]}


async def test_independent_steps_run_at_the_same_time(office: Office) -> None:
    run = await office.start("""
        process: side-by-side
        steps: {a: {tool: do.held}, b: {tool: do.held}, c: {tool: do.held}}
    """)
    for step in "abc":
        await office.started[step].wait()
    for step in "abc":
        office.gates[step].set()
    await run.handle.result()


# Skipping


async def test_a_branch_is_skipped_as_a_whole_and_a_join_runs_once_any_of_its_needs_ran(office: Office) -> None:
    run = await office.start("""
        process: branches
        steps:
          yes: {tool: do.work, when: "${ 1 < 2 }"}
          no: {tool: do.work, when: "${ 1 > 2 }"}
          after_no: {tool: do.work, needs: [no]}
          group_after_no: {needs: [after_no], steps: {inner: {tool: do.work}}}
          join: {tool: do.work, needs: ["yes", after_no]}
        output: {no: "${ steps.no.output }"}
    """)
    result = await run.handle.result()
    assert result.output == {"no": None}
    assert statuses(await run.view()) == {
        "yes": "completed",
        "no": "skipped",
        "after_no": "skipped",
        "group_after_no": "skipped",
        "group_after_no.inner": "skipped",
        "join": "completed",
    }


# Items and groups


async def test_items_give_their_outputs_in_order_and_are_skipped_one_by_one(office: Office) -> None:
    run = await office.start("""
        process: items
        steps:
          each:
            tool: do.work
            for_each: ${ ['a', 'b', 'c'] }
            when: ${ item != 'b' }
            with: {what: "${ item }${ index }"}
        output: "${ steps.each.output.map(o, o == null ? 'none' : o.what) }"
    """)
    assert (await run.handle.result()).output == ["a0", "none", "c2"]
    assert (await run.status_of("each[1]")) == "skipped"


async def test_parallel_bounds_the_items_at_work(office: Office) -> None:
    run = await office.start("""
        process: two-at-a-time
        steps: {each: {tool: do.held, for_each: "${ [1, 2, 3] }", parallel: 2}}
    """)
    await office.started["each[0]"].wait()
    await office.started["each[1]"].wait()
    assert await run.status_of("each[2]") == "pending"
    office.gates["each[0]"].set()
    await office.started["each[2]"].wait()
    office.gates["each[1]"].set()
    office.gates["each[2]"].set()
    await run.handle.result()


async def test_no_items_give_an_empty_list(office: Office) -> None:
    run = await office.start("""
        process: nothing
        steps: {each: {tool: do.work, for_each: "${ [] }"}, after: {tool: do.work, needs: [each]}}
        output: ${ steps.each.output }
    """)
    assert (await run.handle.result()).output == []
    assert effects(office) == ["after"]


async def test_a_group_sees_its_own_steps_first_then_outward_and_its_steps_wait_for_no_barrier(office: Office) -> None:
    run = await office.start("""
        process: groups
        steps:
          a: {tool: do.work, with: {what: outer}}
          slow: {tool: do.held}
          g:
            for_each: ${ ['x', 'y'] }
            steps:
              a: {tool: do.work, with: {what: "inner ${ item }"}}
              b: {tool: do.work, with: {what: "${ steps.a.output.what }"}}
              c: {tool: do.work, with: {what: "${ steps.slow.output.id }"}}
        output: ${ steps.g.output.map(g, g.b.what) }
    """)
    await run.until(lambda view: statuses(view).get("g[1].b") == "completed")
    assert await run.status_of("g[0].c") == "pending"
    office.gates["slow"].set()
    assert (await run.handle.result()).output == ["inner x", "inner y"]


# Keys


async def test_the_idempotency_key_is_run_and_step_and_item(office: Office) -> None:
    run = await office.start("""
        process: keys
        steps: {each: {tool: do.work, for_each: "${ [1] }"}}
        output: ${ steps.each.output[0].key }
    """)
    assert (await run.handle.result()).output == f"{run.id}/each[0]"


# Failing, retrying, repairing


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


# Writes that are not idempotent


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


# Undo


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
    office.broken.add("undo b")
    run = await office.start(f"""
        process: stuck-undo
        steps:
          a: {{tool: do.work, {UNDO}}}
          b: {{tool: do.work, needs: [a], {UNDO}}}
          w: {{wait: 1d, needs: [b]}}
    """)
    await run.waiting("w")
    await run.cancel()
    view = await run.parked("b")
    assert "undo failed: cannot be undone now" in view.incidents[0].error.message
    assert effects(office, "undo") == []
    office.broken.clear()
    await run.repair("b", "retry")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["b", "a"]


# Sub-processes


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


# Approvals

PAY = """
    process: paying
    input: {type: object}
    steps:
      ok:
        approval:
          title: Pay ${ input.amount }?
          show: {amount: "${ input.amount }"}
          from:
            - when: ${ input.amount > 50000 }
              stages: [{any_of: [group:controllers]}, {all_of: [user:cfo]}]
            - any_of: [group:finance]
              count: 2
          not_by: [starter]
      pay: {tool: do.work, needs: [ok], with: {what: "${ steps.ok.output.decision } ${ steps.ok.output.by }"}}
    output: ${ steps.pay.output.what }
"""


async def test_the_first_matching_row_decides_and_stages_follow_each_other(office: Office) -> None:
    run = await office.start(PAY, {"amount": 60000})
    view = await run.waiting("ok")
    assert (view.status, view.waiting[0].title, view.waiting[0].who) == (
        "waiting",
        "Pay 60000?",
        ("group:controllers",),
    )
    await run.decide("ok", "approve", "carol")
    assert (await run.view()).waiting[0].who == ("user:cfo",)
    await run.decide("ok", "approve", "user:cfo", hash=view.waiting[0].hash)
    assert (await run.handle.result()).output == "approve user:cfo"


async def test_the_starter_cannot_approve_and_two_different_people_must(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500}, started_by="user:alice")
    await run.waiting("ok")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.decide("ok", "approve", "alice")
    assert "may not decide here" in str(refused.value.cause)


async def test_a_signal_decides_like_an_update_and_one_that_does_not_hold_is_on_record(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    for payload in (
        {"step": "ok", "decision": "approve", "by": "user:mallory"},
        {"step": "ok", "decision": "perhaps", "by": "user:alice"},
        ["no decision at all"],
        {"step": "ok", "decision": "approve", "by": "user:alice"},
        {"step": "ok", "decision": "approve", "by": "user:bob"},
    ):
        await run.handle.signal(DECIDE, payload)
    assert (await run.handle.result()).output == "approve user:bob"
    refused = (await run.view()).refused
    assert len(refused) == 3
    assert "user:mallory is not asked" in refused[0]
    assert "decision" in refused[1]


async def test_the_same_decision_twice_counts_once(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    first = await run.decide("ok", "approve", "alice", id="d1")
    assert await run.decide("ok", "approve", "alice", id="d1") == first
    assert len((await run.view()).waiting[0].votes) == 1


async def test_a_rejection_stops_the_run_as_rejected(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    await run.decide("ok", "reject", "alice", comment="too much")
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Rejected"
    assert "rejected by user:alice: too much" in str(failed.value.cause)
    assert office.ledger == []
    assert office.calls["pay"] == 0
    assert await run.status_of("pay") == "pending"


async def test_a_rejection_can_be_a_branch(office: Office) -> None:
    run = await office.start("""
        process: branching
        steps:
          ok: {approval: {title: Go?, from: [{any_of: [user:ann]}], on_reject: continue}}
          no: {tool: do.work, when: "${ steps.ok.output.decision == 'reject' }"}
          go: {tool: do.work, when: "${ steps.ok.output.decision == 'approve' }"}
    """)
    await run.waiting("ok")
    await run.decide("ok", "reject", "ann", comment="no")
    await run.handle.result()
    assert effects(office) == ["no"]


async def test_deciding_what_does_not_wait_says_what_does(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    for step, reason in (
        ("nope", "there is no step 'nope' to decide; waiting for a decision: ok"),
        ("pay", "it is pending"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.decide(step, "approve", "alice")
        assert reason in str(refused.value.cause)


# What Temporal shows


async def test_search_attributes_say_what_a_run_waits_for(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    await run.waiting("ok")
    attributes: dict[str, Any] = {
        pair.key.name: pair.value for pair in (await run.handle.describe()).typed_search_attributes
    }
    assert attributes["SurefootProcess"] == "paying"
    assert attributes["SurefootStatus"] == "waiting"
    assert attributes["SurefootWaitsFor"] == ["group:finance"]


# Bad input


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"proces": "x"}, "process: Field required"),
        ("text", "input: Input should be"),
        ({"process": "x", "priority": 9}, "priority"),
    ],
)
async def test_a_request_that_cannot_be_read_fails_the_run_with_the_reason(
    office: Office, payload: object, reason: str
) -> None:
    handle = await office.client.start_workflow("Process", payload, id=f"bad-{id(payload)}", task_queue=office.queue)
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "InputInvalid"
    assert reason in failed.value.cause.message


async def test_input_that_does_not_fit_starts_nothing(office: Office) -> None:
    run = await office.start(
        """
        process: strict
        input: {type: object, required: [amount], properties: {amount: {type: number}}}
        steps: {a: {tool: do.work}}
    """,
        {"amount": "much"},
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert "amount: " in str(failed.value.cause)
    assert office.ledger == []
