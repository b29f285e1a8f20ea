"""What a run does with its steps: order, skipping, items, groups, keys, bad input. On a real server."""

import re

import pytest
from temporalio.client import WorkflowFailureError, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError

from contracts.names import VIEW_QUERY
from tests.workflows.office import Office, effects, statuses


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


async def test_the_idempotency_key_is_run_and_step_and_item(office: Office) -> None:
    run = await office.start("""
        process: keys
        steps: {each: {tool: do.work, for_each: "${ [1] }"}}
        output: ${ steps.each.output[0].key }
    """)
    assert (await run.handle.result()).output == f"{run.id}/each[0]"


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
    with pytest.raises(WorkflowQueryFailedError, match=re.escape(reason)):
        await handle.query(VIEW_QUERY)


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
