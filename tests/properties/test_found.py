"""The smallest plans on which the engine was once found to differ from the format page."""

from typing import Any

import pytest
import yaml

from tests.properties.judge import disagreements
from tests.properties.plans import Plan
from tests.properties.rig import Performance, Rig

WORK = "tool: do.work"
UNDO = "undo: {tool: do.undo, with: {of: '${ output.id }'}}"
LATE = "{what: '${ steps.slow.output.what }'}"
"""Arguments that cannot be worked out before `slow` has ended."""


def plan(steps: str, choices: tuple[int, ...] = (0,), answers: tuple[str, ...] = ()) -> Plan:
    parsed: dict[str, Any] = yaml.safe_load(steps)
    return Plan({"process": "plan", "steps": parsed, "output": {}}, choices, answers, None)


def undone(done: Performance) -> list[str]:
    return [step for phase, (kind, step), _ in done.ledger if (phase, kind) == ("end", "undo")]


async def test_a_need_that_becomes_ready_as_it_is_cancelled_settles(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        a: {{{WORK}}}
        b: {{{WORK}, needs: [a]}}
        c: {{{WORK}, needs: [a, b], join: any, cancel_rest: true}}
        """)
    )
    assert not disagreements(done)


async def test_no_item_begins_after_the_run_has_failed(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        each: {{{WORK}, for_each: [1, 2], parallel: 1, with: {{fails: "${{ index == 0 }}"}}, on_failure: fail, {UNDO}}}
        """)
    )
    assert [call for _, (_, call), _ in done.ledger] == ["each[0]", "each[0]"]


async def test_a_for_each_of_which_nothing_was_done_is_not_undone(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        none: {{{WORK}, for_each: [], {UNDO}}}
        bad: {{{WORK}, with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert done.view is not None
    assert done.view.status == "failed"


async def test_a_need_that_ended_after_the_step_that_did_not_wait_for_it_is_undone_no_later(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        quick: {{{WORK}}}
        slow: {{{WORK}, {UNDO}}}
        after: {{{WORK}, needs: [quick, slow], join: any, {UNDO}}}
        bad: {{{WORK}, needs: [after, slow], with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert [event.step for event in done.events if event.kind == "ended"] == ["quick", "after", "slow", "bad"]
    assert {("undo", "after"), ("undo", "slow")} in [event.calls for event in done.events]


async def test_a_step_is_called_with_what_was_known_when_it_began(rig: Rig) -> None:
    done = await rig.perform(
        plan(
            f"""
        quick: {{{WORK}}}
        slow: {{{WORK}}}
        after: {{{WORK}, needs: [quick, slow], join: any, with: {{what: "${{ steps.slow.output }}"}}}}
        """,
            choices=(0, 1, 0),
        )
    )
    assert not disagreements(done)


async def test_a_step_that_is_completed_by_hand_before_a_need_has_ended_is_undone_beside_it(rig: Rig) -> None:
    """`choices`: `quick` ends, `after` is completed, `slow` ends."""
    done = await rig.perform(
        plan(
            f"""
        quick: {{{WORK}}}
        slow: {{{WORK}, {UNDO}}}
        after: {{{WORK}, needs: [quick, slow], join: any, with: {LATE}, on_failure: ask, {UNDO}}}
        bad: {{{WORK}, needs: [after, slow], with: {{fails: true}}, on_failure: fail}}
        """,
            choices=(0, 1, 0),
            answers=("complete",),
        )
    )
    assert not disagreements(done)
    assert {("undo", "after"), ("undo", "slow")} in [event.calls for event in done.events]


async def test_a_step_that_is_completed_by_hand_after_a_need_has_ended_is_undone_before_it(rig: Rig) -> None:
    """`choices`: `quick` ends, `slow` ends, `after` is completed."""
    done = await rig.perform(
        plan(
            f"""
        quick: {{{WORK}}}
        slow: {{{WORK}, {UNDO}}}
        after: {{{WORK}, needs: [quick, slow], join: any, with: {LATE}, on_failure: ask, {UNDO}}}
        bad: {{{WORK}, needs: [after, slow], with: {{fails: true}}, on_failure: fail}}
        """,
            answers=("complete",),
        )
    )
    assert not disagreements(done)
    assert undone(done) == ["after", "slow"]


@pytest.mark.parametrize("after", ["when: '${ input.no }'", f"with: {LATE}, on_failure: ask"])
async def test_what_was_skipped_passes_on_only_what_was_before_it(rig: Rig, after: str) -> None:
    """By its `when`, and by an operator before `slow` has ended."""
    done = await rig.perform(
        plan(
            f"""
        quick: {{{WORK}}}
        slow: {{{WORK}, {UNDO}}}
        after: {{{WORK}, needs: [quick, slow], join: any, {after}}}
        last: {{{WORK}, needs: [after, quick], {UNDO}}}
        bad: {{{WORK}, needs: [last, slow], with: {{fails: true}}, on_failure: fail}}
        """,
            choices=(0, 1, 0) if LATE in after else (0,),
            answers=("skip",),
        )
    )
    assert not disagreements(done)
    assert {("undo", "last"), ("undo", "slow")} in [event.calls for event in done.events]


async def test_what_was_cancelled_before_its_needs_had_ended_did_not_come_after_them(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        quick: {{{WORK}}}
        slow: {{{WORK}, {UNDO}}}
        never: {{{WORK}, needs: [slow]}}
        last: {{{WORK}, needs: [quick, never], join: any, cancel_rest: true, {UNDO}}}
        bad: {{{WORK}, needs: [last, slow], with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert not disagreements(done)
    assert {("undo", "last"), ("undo", "slow")} in [event.calls for event in done.events]


async def test_a_need_that_had_not_begun_as_the_run_stopped_was_before_nothing(rig: Rig) -> None:
    """`choices`: `first` ends, `quick` ends, `last` ends, `bad` ends."""
    done = await rig.perform(
        plan(
            f"""
        first: {{{WORK}, {UNDO}}}
        quick: {{{WORK}}}
        bad: {{{WORK}, needs: [first], with: {{fails: true}}, on_failure: fail}}
        never: {{{WORK}, needs: [bad]}}
        last: {{{WORK}, needs: [quick, never], join: any, {UNDO}}}
        """,
            choices=(0, 1, 1, 0),
        )
    )
    assert not disagreements(done)
    assert {("undo", "first"), ("undo", "last")} in [event.calls for event in done.events]


async def test_a_fallback_is_undone_before_what_the_step_came_after_that_it_stood_in_for(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        first: {{{WORK}, {UNDO}}}
        wrong: {{{WORK}, needs: [first], with: {{fails: true}}, on_failure: {{fallback: other}}}}
        other: {{{WORK}, {UNDO}}}
        bad: {{{WORK}, needs: [wrong], with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert not disagreements(done)
    assert undone(done) == ["other", "first"]


async def test_a_step_that_fell_back_at_once_came_after_what_had_ended_by_then(rig: Rig) -> None:
    """`choices`: `quick` ends, `slow` ends, `other` ends."""
    done = await rig.perform(
        plan(
            f"""
        quick: {{{WORK}}}
        slow: {{{WORK}, {UNDO}}}
        wrong: {{{WORK}, needs: [quick, slow], join: any, with: {LATE}, on_failure: {{fallback: other}}}}
        other: {{{WORK}}}
        last: {{{WORK}, needs: [wrong], {UNDO}}}
        bad: {{{WORK}, needs: [last, slow], with: {{fails: true}}, on_failure: fail}}
        """,
            choices=(0, 1, 0),
        )
    )
    assert not disagreements(done)
    assert {("undo", "last"), ("undo", "slow")} in [event.calls for event in done.events]


async def test_a_fallback_that_was_not_called_came_after_nothing(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        fine: {{{WORK}, on_failure: {{fallback: other}}}}
        slow: {{{WORK}, {UNDO}}}
        other: {{{WORK}, needs: [slow]}}
        last: {{{WORK}, needs: [fine], {UNDO}}}
        bad: {{{WORK}, needs: [last, slow], with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert {("undo", "last"), ("undo", "slow")} in [event.calls for event in done.events]


async def test_a_fallback_is_undone_before_what_was_inside_the_step_that_it_stood_in_for(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        wrong:
          steps: {{inner: {{{WORK}, {UNDO}}}}}
          success: "${{ output.inner == 1 }}"
          on_failure: {{fallback: other}}
        other: {{{WORK}, {UNDO}}}
        bad: {{{WORK}, needs: [wrong], with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert not disagreements(done)
    assert undone(done) == ["other", "wrong.inner"]


async def test_a_fallback_is_undone_before_what_the_step_did_whose_output_was_not_accepted(rig: Rig) -> None:
    never = 'success: "${ output.n == 99 }"'
    done = await rig.perform(
        plan(f"""
        wrong: {{{WORK}, {UNDO}, {never}, on_failure: {{fallback: other}}}}
        other: {{{WORK}, {UNDO}, {never}, on_failure: {{fallback: another}}}}
        another: {{{WORK}, {UNDO}}}
        last: {{{WORK}, needs: [wrong], {UNDO}}}
        bad: {{{WORK}, needs: [last], with: {{fails: true}}, on_failure: fail}}
        """)
    )
    assert not disagreements(done)
    assert undone(done) == ["last", "another", "other", "wrong"]


async def test_what_takes_no_call_may_complete_at_the_moment_in_which_the_run_stops(rig: Rig) -> None:
    done = await rig.perform(
        plan(f"""
        none: {{{WORK}, when: "${{ input.no }}"}}
        first: {{{WORK}}}
        bad: {{{WORK}, needs: [first], with: {{what: "${{ steps.none.output.what }}"}}, on_failure: fail}}
        each: {{{WORK}, for_each: "${{ steps.first.output.many }}"}}
        """)
    )
    assert not disagreements(done)
