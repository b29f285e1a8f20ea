"""The smallest plans on which the engine was once found to differ from the format page."""

from typing import Any

import yaml

from tests.properties.judge import disagreements
from tests.properties.plans import Plan
from tests.properties.rig import Rig

WORK = "tool: do.work"
UNDO = "undo: {tool: do.undo, with: {of: '${ output.id }'}}"


def plan(steps: str, choices: tuple[int, ...] = (0,)) -> Plan:
    parsed: dict[str, Any] = yaml.safe_load(steps)
    return Plan({"process": "plan", "steps": parsed, "output": {}}, choices, (), None)


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
