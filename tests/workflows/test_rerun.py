"""An ended run is started again from where it stood: what completed stays, and no effect is doubled or lost."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.workflows.office import UNDO, Office, Run, effects, statuses


async def aborted(office: Office, text: str, step: str, *, undo: bool, data: Any = None) -> Run:
    run = await office.start(text, data)
    await run.parked(step)
    await run.repair(step, "abort", value={"undo": undo})
    await run.failed()
    office.broken.clear()
    return run


def keys(office: Office) -> list[str]:
    """Of the effects, by the last of each step, without what differs from test to test."""
    return [key.partition("/")[2] for key in office.keys]


CHAIN = f"""
    process: chain
    steps:
      a: {{tool: do.work, {UNDO}}}
      b: {{tool: do.work, needs: [a], {UNDO}}}
      c: {{tool: do.work, needs: [b], {UNDO}}}
      d: {{tool: do.work, needs: [c]}}
    output: ${{ steps.d.output.key }}
"""


async def test_what_completed_is_kept_and_what_failed_starts_again_under_its_old_key(office: Office) -> None:
    office.broken.add("c")
    run = await aborted(office, CHAIN, "c", undo=False)
    assert effects(office) == ["a", "b"]
    rerun = await run.again()
    assert (await rerun.handle.result()).output == f"{run.id}/d"
    assert effects(office) == ["a", "b", "c", "d"]
    assert keys(office) == ["a", "b", "c", "d"]
    view = await rerun.view()
    assert (view.rerun_of, view.run, view.status) == (run.id, rerun.id, "completed")


async def test_what_was_taken_back_is_done_anew_under_another_key(office: Office) -> None:
    office.broken.add("c")
    run = await aborted(office, CHAIN, "c", undo=True)
    assert effects(office, "undo") == ["b", "a"]
    rerun = await run.again()
    await rerun.handle.result()
    assert keys(office) == ["a", "b", "b/undo", "a/undo", "a^1", "b^1", "c", "d"]


async def test_a_rerun_that_fails_takes_back_what_both_did_each_once(office: Office) -> None:
    office.broken.add("c")
    run = await aborted(office, CHAIN, "c", undo=False)
    office.broken.add("d")
    rerun = await run.again()
    await rerun.parked("d")
    await rerun.repair("d", "abort")
    await rerun.failed()
    assert effects(office, "undo") == ["c", "b", "a"]
    assert keys(office) == ["a", "b", "c", "c/undo", "b/undo", "a/undo"]
    office.broken.clear()
    third = await rerun.again(number=3)
    await third.handle.result()
    assert keys(office)[6:] == ["a^1", "b^1", "c^1", "d"]


async def test_an_earlier_step_starts_again_only_when_its_effect_may_be_doubled(office: Office) -> None:
    office.broken.add("c")
    run = await aborted(office, CHAIN, "c", undo=False)
    refused = await run.again(from_="b")
    said = "b: what was done stands, and would be done once more"
    assert said in await refused.failed()
    assert effects(office) == ["a", "b"]
    rerun = await run.again(from_="b", redo=True)
    await rerun.handle.result()
    assert keys(office) == ["a", "b", "b^1", "c", "d"]


async def test_a_cancelled_and_a_terminated_run_go_on(office: Office) -> None:
    text = (
        "process: stopped\nsteps: {a: {tool: do.work}, w: {wait: 0s, needs: [held]}, held: {tool: do.held, needs: [a]}}"
    )
    run = await office.start(text)
    await office.started["held"].wait()
    await run.handle.terminate("by hand")
    office.gates["held"].set()
    rerun = await run.again()
    assert (await rerun.handle.result()).status == "completed"
    assert office.calls["a"] == 1
    cancelled = await office.start("""
        process: cancels
        steps: {a: {tool: do.work}, w: {approval: {title: Go?, from: [{any_of: [user:ann]}]}, needs: [a]}}
    """)
    await cancelled.waiting("w")
    await cancelled.cancel()
    await cancelled.failed()
    on = await cancelled.again()
    await on.waiting("w")
    await on.decide("w", "approve", "user:ann")
    await on.handle.result()
    assert office.calls["a"] == 2


async def test_groups_items_and_what_waits_for_them_go_on_where_they_stood(office: Office) -> None:
    office.broken.update(("g.y", "each[1]"))
    run = await office.start(f"""
        process: holding
        steps:
          g:
            steps:
              x: {{tool: do.work, {UNDO}}}
              y: {{tool: do.work, needs: [x]}}
          each: {{tool: do.work, for_each: "${{ [1, 2, 3] }}", parallel: 1, {UNDO}}}
          last: {{tool: do.work, needs: [g, each]}}
        output: ${{ [steps.g.output.x.id, steps.each.output.map(o, o.id)] }}
    """)
    await run.parked("g.y", "each[1]")
    await run.cancel(undo=False)
    await run.failed()
    office.broken.clear()
    assert sorted(effects(office)) == ["each[0]", "g.x"]
    rerun = await run.again()
    assert (await rerun.handle.result()).output == ["g.x", ["each[0]", "each[1]", "each[2]"]]
    assert sorted(effects(office)) == ["each[0]", "each[1]", "each[2]", "g.x", "g.y", "last"]


@pytest.mark.parametrize("on_failure", ["ask", "fail"])
async def test_what_failed_last_inside_of_something_is_done_by_the_rerun(office: Office, on_failure: str) -> None:
    office.broken.update(("g.x", "each[1]"))
    run = await office.start(f"""
        process: last-inside
        steps:
          g: {{steps: {{x: {{tool: do.work}}}}}}
          each: {{tool: do.work, for_each: [1, 2], parallel: 1, needs: [g], on_failure: {on_failure}}}
        output: ${{ [steps.g.output.x.id, steps.each.output.map(o, o.id)] }}
    """)
    await run.parked("g.x")
    office.broken.discard("g.x")
    await run.repair("g.x", "retry")
    if on_failure == "ask":
        await run.until(lambda view: bool(view.incidents) and statuses(view).get("each[0]") == "completed")
        await run.repair("each[1]", "abort", value={"undo": False})
    await run.failed()
    assert statuses(await run.view())["each"] == "cancelled"
    office.broken.clear()
    assert (await (await run.again()).handle.result()).output == ["g.x", ["each[0]", "each[1]"]]


async def test_taken_back_inside_of_a_group_is_done_anew_even_after_it_waited(office: Office) -> None:
    run = await office.start(f"""
        process: inside
        steps:
          first: {{tool: do.work, {UNDO}}}
          g: {{needs: [first], steps: {{x: {{tool: do.work, {UNDO}}}}}}}
          stop: {{tool: do.work, with: {{fails: true}}, needs: [g]}}
    """)
    await run.parked("stop")
    await run.repair("stop", "abort")
    await run.failed()
    rerun = await run.again()
    await rerun.parked("stop")
    await rerun.repair("stop", "skip")
    await rerun.handle.result()
    assert keys(office) == ["first", "g.x", "g.x/undo", "first/undo", "first^1", "g.x^1"]


async def test_a_sub_process_goes_on_where_it_stood(office: Office) -> None:
    office.broken.add("y")
    office.children["goes-on"] = office.definition(f"""
        process: goes-on
        steps: {{x: {{tool: do.work, {UNDO}}}, y: {{tool: do.work, needs: [x], {UNDO}}}}}
        output: ${{ steps.y.output.id }}
    """)
    run = await office.start("""
        process: parent-goes-on
        steps: {sub: {process: goes-on}, stop: {tool: do.work, needs: [sub], with: {fails: true}}}
    """)
    child = Run(office, office.client.get_workflow_handle(f"{run.id}/sub"))
    async with asyncio.timeout(60):
        while office.calls["y"] == 0:
            await asyncio.sleep(0.02)
    await child.until(lambda view: bool(view.incidents))
    await child.repair("y", "abort", value={"undo": False})
    await run.parked("sub")
    await run.repair("sub", "abort", value={"undo": False})
    await run.failed()
    office.broken.clear()
    rerun = await run.again()
    await rerun.parked("stop")
    assert keys(office) == ["sub/x", "sub/y"]
    await rerun.repair("stop", "abort")
    await rerun.failed()
    assert keys(office) == ["sub/x", "sub/y", "sub/y/undo", "sub/x/undo"]


async def test_rounds_go_on_in_the_one_that_failed(office: Office) -> None:
    office.broken.add("r#2")
    run = await office.start(f"""
        process: rounds
        steps:
          r: {{tool: do.work, repeat: {{until: "${{ output.id == 'r#3' }}", max: 5}}, {UNDO}}}
    """)
    await run.parked("r#2")
    await run.repair("r#2", "abort", value={"undo": False})
    await run.failed()
    office.broken.clear()
    rerun = await run.again()
    await rerun.handle.result()
    assert effects(office) == ["r#1", "r#2", "r#3"]


async def test_what_a_rerun_did_not_come_to_keeps_its_next_key_for_the_one_after(office: Office) -> None:
    """Under a key whose effect was taken back nothing would be done any more."""
    text = f"""
        process: twice-again
        steps:
          first: {{tool: do.work, {UNDO}}}
          r: {{tool: do.work, needs: [first], repeat: {{until: "${{ output.id == 'r#2' }}", max: 5}}, {UNDO}}}
          g: {{needs: [first], steps: {{x: {{tool: do.work, {UNDO}}}}}}}
          stop: {{tool: do.work, needs: [r, g]}}
    """
    office.broken.add("stop")
    run = await aborted(office, text, "stop", undo=True)
    office.broken.add("first")
    second = await run.again()
    await second.parked("first")
    await second.repair("first", "abort", value={"undo": False})
    await second.failed()
    office.broken.clear()
    await (await second.again(number=3)).handle.result()
    assert sorted(keys(office)[-5:]) == ["first^1", "g.x^1", "r#1^1", "r#2^1", "stop"]
    assert len(set(office.keys)) == len(office.keys)


async def test_what_was_amended_and_not_come_to_is_done_as_amended_by_the_rerun_that_does(office: Office) -> None:
    text = f"""
        process: amended-later
        steps:
          first: {{tool: do.work, {UNDO}}}
          g: {{needs: [first], steps: {{x: {{tool: do.work, with: {{what: old}}}}, y: {{tool: do.work, needs: [x]}}}}}}
    """
    office.broken.add("g.x")
    run = await office.start(text)
    await run.parked("g.x")
    await run.repair("g.x", "amend", value={"what": "new"})
    await run.until(lambda view: office.calls["g.x"] == 2 and bool(view.incidents))
    await run.repair("g.x", "abort")
    await run.failed()
    office.broken = {"first"}
    second = await run.again()
    await second.parked("first")
    await second.repair("first", "abort")
    await second.failed()
    office.broken.clear()
    await (await second.again(number=3)).handle.result()
    assert ("do", "g.x", "new") in office.ledger
    assert keys(office)[-3:] == ["first^1", "g.x~1", "g.y"]


async def test_what_was_done_inside_of_a_group_that_an_operator_skipped_is_taken_back_by_a_rerun(
    office: Office,
) -> None:
    text = f"""
        process: skipped-group
        steps:
          g: {{success: "${{ 1 > 2 }}", steps: {{x: {{tool: do.work, {UNDO}}}}}}}
          stop: {{tool: do.work, needs: [w]}}
          w: {{wait: 0s}}
    """
    office.broken.add("stop")
    run = await office.start(text)
    await run.parked("g", "stop")
    await run.repair("g", "skip")
    await run.repair("stop", "abort", value={"undo": False})
    await run.failed()
    rerun = await run.again()
    await rerun.parked("stop")
    await rerun.repair("stop", "abort")
    await rerun.failed()
    assert keys(office) == ["g.x", "g.x/undo"]


async def test_another_input_holds_for_what_starts_again(office: Office) -> None:
    text = """
        process: other-input
        input: {type: object, required: [what], properties: {what: {type: string}}}
        steps:
          a: {tool: do.work}
          b: {tool: do.work, needs: [a], with: {what: "${ input.what }", fails: "${ input.what == 'bad' }"}}
        output: ${ steps.b.output.what }
    """
    run = await aborted(office, text, "b", undo=False, data={"what": "bad"})
    wrong = await run.again(data={"what": 3})
    assert "the input does not fit" in await wrong.failed()
    rerun = await run.again(data={"what": "good"})
    assert (await rerun.handle.result()).output == "good"
    assert office.calls["a"] == 1


async def test_only_an_operator_starts_again_and_only_what_ended_badly_once(office: Office) -> None:
    office.broken.add("c")
    run = await office.start(CHAIN, started_by="user:sam")
    await run.parked("c")
    assert f"{run.id} has not ended; repair it in place" in await (await run.again()).failed()
    await run.repair("c", "abort", value={"undo": False})
    await run.failed()
    office.broken.clear()
    office.operators = ("user:tom", "starter")
    bob = await run.again(by="user:bob")
    said = "user:bob may not rerun this run: that is for role:operator (user:tom, the starter user:sam)"
    assert said in await bob.failed()
    elsewhere = await run.again(by="user:tom", number=3)
    assert f"has the id {run.id}~2, so that there is one only" in await elsewhere.failed()
    rerun = await run.again(by="user:sam")
    await rerun.handle.result()
    assert "completed; there is nothing to start again" in await (await rerun.again(number=3, by="user:tom")).failed()
    nobody = Run(office, office.client.get_workflow_handle("chain-gone"))
    assert "there is no run chain-gone on the server" in await (await nobody.again(by="user:tom")).failed()


async def test_a_failure_that_the_process_puts_up_with_stays_and_so_does_what_a_fallback_did(office: Office) -> None:
    office.broken.update(("soft", "hard", "stop"))
    run = await aborted(
        office,
        """
        process: put-up-with
        steps:
          soft: {tool: do.work, on_failure: continue}
          hard: {tool: do.work, on_failure: {fallback: other}}
          other: {tool: do.work}
          stop: {tool: do.work, needs: [soft, hard]}
        """,
        "stop",
        undo=False,
    )
    rerun = await run.again()
    await rerun.handle.result()
    assert effects(office) == ["other", "stop"]
    assert statuses(await rerun.view()) == {
        "soft": "failed",
        "hard": "failed",
        "other": "completed",
        "stop": "completed",
    }


async def test_an_undo_that_was_cut_off_is_to_be_finished_first(office: Office) -> None:
    office.broken.update(("c", "undo b"))
    run = await office.start(CHAIN)
    await run.parked("c")
    await run.repair("c", "abort")
    await run.parked("b")
    await run.handle.terminate("in the middle of it")
    office.broken.clear()
    said = await (await run.again()).failed()
    assert "the run was stopped while it took back b" in said


async def test_a_refused_rerun_says_so_by_its_type(office: Office) -> None:
    office.broken.add("c")
    run = await aborted(office, CHAIN, "c", undo=False)
    with pytest.raises(WorkflowFailureError) as failed:
        await (await run.again(from_="nope")).handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Refused"
    assert "there is no step 'nope' to start again from" in str(failed.value.cause)
