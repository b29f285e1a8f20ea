"""Joins that do not wait for all, steps that stand in for others, and rounds. On a real server."""

import pytest

from contracts.errors import CriteriaNotMet
from tests.workflows.office import UNDO, Office, effects, statuses


async def test_a_step_with_join_any_starts_with_the_first_need_that_ran(office: Office) -> None:
    run = await office.start("""
        process: first-wins
        steps:
          slow: {tool: do.held}
          no: {tool: do.work, when: "${ 1 > 2 }"}
          quick: {tool: do.held}
          after: {tool: do.work, needs: [slow, "no", quick], join: any}
    """)
    await run.until(lambda view: statuses(view)["no"] == "skipped")
    assert await run.status_of("after") == "pending"
    office.gates["quick"].set()
    await run.until(lambda view: statuses(view)["after"] == "completed")
    assert await run.status_of("slow") == "running"
    office.gates["slow"].set()
    await run.handle.result()


async def test_a_join_of_two_waits_for_two_of_three(office: Office) -> None:
    run = await office.start("""
        process: two-of-three
        steps:
          a: {tool: do.held}
          b: {tool: do.held}
          c: {tool: do.held}
          after: {tool: do.work, needs: [a, b, c], join: 2}
    """)
    office.gates["a"].set()
    await run.until(lambda view: statuses(view)["a"] == "completed")
    assert await run.status_of("after") == "pending"
    office.gates["b"].set()
    await run.until(lambda view: statuses(view)["after"] == "completed")
    office.gates["c"].set()
    await run.handle.result()


async def test_cancel_rest_cancels_what_only_reads_and_what_is_inside_a_group(office: Office) -> None:
    run = await office.start("""
        process: race
        steps:
          first: {tool: do.work}
          watcher: {tool: do.watch}
          branch:
            steps:
              wait: {wait: 1h}
              later: {tool: do.work, needs: [wait]}
          after: {tool: do.work, needs: [first, watcher, branch], join: any, cancel_rest: true}
          follows: {tool: do.work, needs: [watcher]}
    """)
    await run.handle.result()
    view = await run.view()
    assert statuses(view) == {
        "first": "completed",
        "watcher": "cancelled",
        "branch": "cancelled",
        "branch.wait": "cancelled",
        "branch.later": "cancelled",
        "after": "completed",
        "follows": "skipped",
    }
    assert effects(office) == ["first", "after"]


async def test_a_write_on_its_way_completes_though_it_was_among_the_rest(office: Office) -> None:
    run = await office.start(f"""
        process: race-with-a-write
        steps:
          slow: {{tool: do.held, {UNDO}}}
          quick: {{tool: do.held}}
          after: {{tool: do.work, needs: [slow, quick], join: any, cancel_rest: true}}
    """)
    await office.started["slow"].wait()
    office.gates["quick"].set()
    await run.until(lambda view: statuses(view)["after"] == "completed")
    assert (await run.view()).status == "running"
    office.gates["slow"].set()
    await run.handle.result()
    assert statuses(await run.view())["slow"] == "completed"
    assert effects(office) == ["quick", "after", "slow"]


async def test_a_fallback_runs_only_instead_of_the_step_that_failed_and_gives_its_output(office: Office) -> None:
    office.broken = {"bank"}
    run = await office.start("""
        process: another-way
        steps:
          bank: {tool: do.work, on_failure: {fallback: cheque}}
          cheque: {tool: do.work, with: {what: by cheque}}
          fine: {tool: do.work, on_failure: {fallback: unused}}
          unused: {tool: do.work}
          after: {tool: do.work, with: {what: "${ steps.bank.output.what }"}}
    """)
    await run.handle.result()
    assert statuses(await run.view()) == {
        "bank": "failed",
        "cheque": "completed",
        "fine": "completed",
        "unused": "skipped",
        "after": "completed",
    }
    assert ("do", "after", "by cheque") in office.ledger


async def test_a_failed_item_has_the_fallback_run_instead_of_all_items(office: Office) -> None:
    office.broken = {"each[1]"}
    run = await office.start("""
        process: instead-of-items
        steps:
          each: {tool: do.work, for_each: [1, 2], on_failure: {fallback: bulk}}
          bulk: {tool: do.work}
        output: "${ steps.each.output.id }"
    """)
    assert (await run.handle.result()).output == "bulk"


async def test_a_write_whose_outcome_is_unknown_parks_though_it_has_a_fallback(office: Office) -> None:
    run = await office.start("""
        process: no-second-payment
        steps:
          pay: {tool: pay.blind, with: {amount: 5}, on_failure: {fallback: other}}
          other: {tool: do.work}
    """)
    await run.parked("pay")
    assert await run.status_of("other") == "pending"
    await run.repair("pay", "complete", value="paid")
    await run.handle.result()
    assert effects(office) == []


async def test_a_repeat_goes_on_until_its_condition_holds_each_round_an_effect_of_its_own(office: Office) -> None:
    run = await office.start("""
        process: rounds
        steps:
          poll:
            tool: do.work
            with: {what: "${ string(state.n) }"}
            needs: [count]
            repeat: {until: "${ output.id == 'poll#3' }", max: 5, every: 10ms}
          count: {state: {key: n, set: 7}}
        output: "${ steps.poll.output.key }"
    """)
    assert (await run.handle.result()).output == f"{run.id}/poll#3"
    assert effects(office) == ["poll#1", "poll#2", "poll#3"]


async def test_a_repeat_that_never_comes_to_its_end_fails(office: Office) -> None:
    run = await office.start("""
        process: endless
        steps: {poll: {tool: do.look, repeat: {until: "${ output > 1 }", max: 3}}}
    """)
    view = await run.parked("poll")
    assert view.incidents[0].error.type == CriteriaNotMet.type_name()
    assert "in 3 rounds" in view.incidents[0].error.message
    await run.repair("poll", "skip")
    await run.handle.result()


async def test_a_group_can_repeat_and_its_rounds_are_undone_last_first(office: Office) -> None:
    run = await office.start(f"""
        process: rounds-undone
        steps:
          loop:
            repeat: {{until: "${{ output.count.value == 2 }}"}}
            steps:
              work: {{tool: do.work, {UNDO}}}
              count: {{state: {{key: n, add: 1}}, needs: [work]}}
          end: {{tool: do.work, needs: [loop], with: {{fails: true}}, on_failure: fail}}
    """)
    await run.until(lambda view: view.status == "undone")
    assert effects(office, "undo") == ["loop#2.work", "loop#1.work"]


async def test_a_round_that_fails_parks_and_goes_on_when_repaired(office: Office) -> None:
    office.broken = {"poll#2"}
    run = await office.start("""
        process: broken-round
        steps: {poll: {tool: do.work, repeat: {until: "${ output.id == 'poll#3' }"}}}
    """)
    await run.parked("poll#2")
    office.broken.clear()
    await run.repair("poll#2", "retry")
    await run.handle.result()
    assert effects(office) == ["poll#1", "poll#2", "poll#3"]


@pytest.mark.slow
async def test_hundreds_of_rounds_without_a_wait_end(office: Office) -> None:
    run = await office.start("""
        process: many-rounds
        steps: {count: {state: {key: n, add: 1}, repeat: {until: "${ output.value == 900 }", max: 1000}}}
    """)
    await run.handle.result()
    assert (await run.view()).state["n"].value == 900


async def test_a_write_on_its_way_inside_a_group_that_was_cancelled_is_undone_with_the_run(office: Office) -> None:
    run = await office.start("""
        process: not-forgotten
        steps:
          branch: {steps: {slow: {tool: do.held, undo: {tool: do.undo, with: {of: "${ output.id }"}}}}}
          quick: {tool: do.held}
          after: {tool: do.work, needs: [branch, quick], join: any, cancel_rest: true}
          hold: {tool: do.held, needs: [after]}
          end: {tool: do.work, needs: [hold], with: {fails: true}, on_failure: fail}
    """)
    await office.started["branch.slow"].wait()
    office.gates["quick"].set()
    await office.started["hold"].wait()
    office.gates["branch.slow"].set()
    await run.until(lambda view: statuses(view)["branch.slow"] == "completed")
    office.gates["hold"].set()
    await run.until(lambda view: view.status == "undone")
    assert effects(office, "undo") == ["branch.slow"]


async def test_a_fallback_at_work_is_cancelled_with_the_step_it_stands_in_for(office: Office) -> None:
    office.broken = {"bank"}
    run = await office.start("""
        process: no-longer-needed
        steps:
          bank: {tool: do.work, on_failure: {fallback: slow}}
          slow: {wait: 1h}
          quick: {tool: do.held}
          after: {tool: do.work, needs: [bank, quick], join: any, cancel_rest: true}
    """)
    await run.until(lambda view: statuses(view)["slow"] == "waiting")
    office.gates["quick"].set()
    await run.handle.result()
    assert statuses(await run.view())["slow"] == "cancelled"
