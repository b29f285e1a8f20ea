"""Goals: a plan is asked for, checked, reviewed, run, and changed when a step of it fails. The model is a real HTTP
endpoint that answers as the test says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowUpdateFailedError

from contracts.errors import PlanInvalid
from contracts.run import RunView, StepView
from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.office import UNDO, Office, Run, effects, open_office, statuses

WORK: dict[str, Any] = {"tool": "do.work"}
REVIEW = "review: {from: [{any_of: [user:ada]}]}"


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


def process(*more: str, tools: str = "[do.work, do.undo, do.held]") -> str:
    lines = "\n".join(f"            {line}" for line in more)
    return f"""
        process: with-goal
        agents:
          clerk: {{instructions: You are a clerk., tools: [do.look]}}
        steps:
          order: {{tool: do.work, with: {{what: A-1}}}}
          reach:
            goal: Deal with ${{ steps.order.output.what }}.
            agents: [clerk]
            tools: {tools}
{lines}
        output: ${{ steps.reach.output }}
    """


def plans(endpoint: Endpoint, steps: dict[str, Any], **more: Any) -> None:
    endpoint.say(json.dumps({"steps": steps, **more}))


def told(endpoint: Endpoint, request: int) -> str:
    """What the planner was given with its task."""
    text: str = endpoint.requests[request].messages[1]["content"]
    return text


def step_of(view: RunView, step: str) -> StepView:
    return next(found for found in view.steps if found.id == step)


async def refused(run: Run, **edits: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await run.decide("reach", "approve", "user:ada", edits=edits)
    return str(raised.value.cause)


async def test_a_plan_is_written_checked_and_run_with_independent_steps_at_the_same_time(
    office: Office, endpoint: Endpoint
) -> None:
    plans(
        endpoint,
        {
            "left": {"tool": "do.held"},
            "right": {"tool": "do.held"},
            "both": {
                **WORK,
                "with": {"what": "${ steps.left.output.id + steps.order.output.what }"},
                "needs": ["right"],
            },
        },
        output={"made": "${ steps.both.output.what }"},
    )
    run = await office.start(process())
    for step in ("reach.left", "reach.right"):
        await office.started[step].wait()
    for step in ("reach.left", "reach.right"):
        office.gates[step].set()
    assert (await run.handle.result()).output == {"made": "reach.leftA-1"}
    request = told(endpoint, 0)
    assert "Deal with A-1." in request
    assert '"do.work"' in request
    (revision,) = step_of(await run.view(), "reach").plan
    assert (revision.by, revision.added) == ("agent:planner", ("left", "right", "both"))


async def test_what_is_wrong_goes_back_with_its_places_and_nothing_of_it_runs(
    office: Office, endpoint: Endpoint
) -> None:
    plans(endpoint, {"a": {"tool": "pay.blind", "with": {"amount": 1}}, "b": {**WORK, "needs": ["c"]}})
    plans(endpoint, {"a": {**WORK, "with": {"what": "${ steps.b.output }"}}, "b": {**WORK, "needs": ["a"]}})
    plans(endpoint, {"a": WORK})
    run = await office.start(process())
    await run.handle.result()
    second, third = told(endpoint, 1), told(endpoint, 2)
    assert "plan:4:15: the tool `pay.blind` is not granted to this goal" in second
    assert "there is no step `c`" in second
    assert "the needs go in a circle" in third
    assert effects(office) == ["order", "reach.a"]


async def test_a_planner_who_never_gives_a_plan_that_holds_is_an_incident(office: Office, endpoint: Endpoint) -> None:
    for _ in range(4):
        plans(endpoint, {"a": {"process": "other"}})
    run = await office.start(process())
    view = await run.parked("reach")
    assert view.incidents[0].error.type == PlanInvalid.type_name()
    assert "a plan cannot have `process` steps" in view.incidents[0].error.message
    assert "replan" in [choice.action for choice in view.incidents[0].actions]
    plans(endpoint, {"a": WORK})
    await run.repair("reach", "replan")
    await run.handle.result()
    assert effects(office) == ["order", "reach.a"]


async def test_a_person_approves_the_plan_before_anything_of_it_runs(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": WORK})
    run = await office.start(process(REVIEW))
    view = await run.waiting("reach")
    (waiting,) = view.waiting
    assert waiting.title == "Follow this plan for Deal with A-1.?"
    assert waiting.show["plan"]["steps"] == {"a": {"tool": "do.work", "on_failure": "replan"}}
    assert effects(office) == ["order"]
    await run.decide("reach", "approve", "user:ada", hash=waiting.hash)
    await run.handle.result()
    assert step_of(await run.view(), "reach").plan[0].approved_by == "user:ada"


async def test_a_plan_can_be_edited_and_edits_that_do_not_hold_are_refused(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": WORK})
    run = await office.start(process(REVIEW))
    await run.waiting("reach")
    assert "the tool `do.look` is not granted" in await refused(run, steps={"a": {"tool": "do.look"}})
    await run.decide("reach", "approve", "user:ada", edits={"steps": {"mine": WORK}})
    await run.handle.result()
    assert effects(office) == ["order", "reach.mine"]
    assert step_of(await run.view(), "reach").plan[0].by == "user:ada"


async def test_a_plan_that_is_refused_ends_the_run(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": WORK})
    run = await office.start(process(REVIEW))
    await run.waiting("reach")
    await run.decide("reach", "reject", "user:ada", comment="too dear")
    view = await run.until(lambda view: view.status == "failed")
    assert view.error is not None
    assert "too dear" in view.error.message
    assert effects(office) == ["order"]


async def test_after_a_failure_the_rest_is_planned_anew_and_what_completed_is_kept(
    office: Office, endpoint: Endpoint
) -> None:
    office.broken = {"reach.b"}
    plans(endpoint, {"a": WORK, "b": {**WORK, "needs": ["a"]}, "c": {**WORK, "needs": ["b"]}})
    plans(endpoint, {"b2": {**WORK, "needs": ["a"]}, "c": {**WORK, "needs": ["b2"], "with": {"what": "new"}}})
    run = await office.start(process())
    await run.handle.result()
    view = await run.view()
    assert effects(office) == ["order", "reach.a", "reach.b2", "reach.c"]
    assert office.calls["reach.a"] == 1
    assert statuses(view)["reach.b"] == "failed"
    request = told(endpoint, 1)
    for part in ('"failed":{"step":"b"', '"begun":{"a":', '"remaining":{"c":'):
        assert part in request
    _, change = step_of(view, "reach").plan
    assert (change.added, change.changed, change.kept) == (("b2",), ("c",), ("a", "b"))
    assert '+      "what": "new"' in change.difference
    made, changed = await run.events("plan.")
    assert (made.kind, made.by, made.step, made.data["added"]) == (
        "plan.made",
        "agent:planner",
        "reach",
        ["a", "b", "c"],
    )
    assert (changed.kind, changed.by, changed.step) == ("plan.changed", "agent:planner", "reach")
    assert (changed.data["added"], changed.data["changed"]) == (["b2"], ["c"])
    assert changed.data["difference"] == change.difference
    assert "reach.b is broken" in changed.reason


async def test_a_step_that_misses_its_criteria_is_planned_around(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": {**WORK, "success": "${ output.what == 'good' }"}})
    plans(endpoint, {"a2": {**WORK, "with": {"what": "good"}, "success": "${ output.what == 'good' }"}})
    run = await office.start(process())
    await run.handle.result()
    assert effects(office) == ["order", "reach.a", "reach.a2"]


async def test_a_failure_inside_a_group_of_the_plan_replaces_the_group(office: Office, endpoint: Endpoint) -> None:
    office.broken = {"reach.part.x"}
    plans(endpoint, {"part": {"steps": {"x": WORK, "y": {**WORK, "needs": ["x"]}}}})
    plans(endpoint, {"other": WORK})
    run = await office.start(process())
    await run.handle.result()
    assert statuses(await run.view()) == {
        "order": "completed",
        "reach": "completed",
        "reach.part": "failed",
        "reach.part.x": "cancelled",
        "reach.part.y": "cancelled",
        "reach.other": "completed",
    }


async def test_changes_are_bounded_and_then_an_incident_that_an_operator_may_have_replanned(
    office: Office, endpoint: Endpoint
) -> None:
    office.broken = {"reach.a", "reach.b"}
    plans(endpoint, {"a": WORK})
    plans(endpoint, {"b": WORK})
    run = await office.start(process("replans: 1"))
    view = await run.parked("reach.b")
    assert "changed 1 times already" in view.incidents[0].error.message
    plans(endpoint, {"c": WORK})
    await run.repair("reach.b", "replan", reason="use c")
    await run.handle.result()
    assert "use c" in step_of(await run.view(), "reach").plan[2].reason


async def test_a_change_of_the_plan_is_reviewed_too(office: Office, endpoint: Endpoint) -> None:
    office.broken = {"reach.a"}
    plans(endpoint, {"a": WORK})
    plans(endpoint, {"b": WORK})
    run = await office.start(process(REVIEW))
    await run.waiting("reach")
    await run.decide("reach", "approve", "user:ada")
    view = await run.until(lambda view: any(wait.title.startswith("Change the plan") for wait in view.waiting))
    assert "reach.a" not in effects(office)
    assert view.waiting[0].show["reason"] == "a failed: reach.a is broken"
    await run.decide("reach", "approve", "user:ada")
    await run.handle.result()
    assert effects(office) == ["order", "reach.b"]


async def test_a_result_that_is_not_the_goals_has_the_plan_changed(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": WORK}, output={"total": "none"})
    plans(endpoint, {"b": {**WORK, "needs": ["a"]}}, output={"total": 3})
    run = await office.start(
        process("output: {type: object, properties: {total: {type: integer}}}", "success: ${ output.total > 2 }")
    )
    assert (await run.handle.result()).output == {"total": 3}
    assert effects(office) == ["order", "reach.a", "reach.b"]


async def test_planned_steps_are_undone_in_reverse_with_those_around_them(office: Office, endpoint: Endpoint) -> None:
    undo = {"tool": "do.undo", "with": {"of": "${ output.id }"}}
    plans(endpoint, {"a": {**WORK, "undo": undo}, "b": {**WORK, "undo": undo, "needs": ["a"]}})
    run = await office.start(
        process().replace(
            "        output: $",
            f"          last: {{tool: do.work, needs: [reach], {UNDO}}}\n"
            "          end: {tool: do.work, needs: [last], with: {fails: true}, on_failure: fail}\n        output: $",
        )
    )
    await run.until(lambda view: view.status == "undone")
    assert effects(office, "undo") == ["last", "reach.b", "reach.a"]


async def test_what_changed_plans_and_goals_inside_them_did_is_undone_in_the_reverse_of_the_order_in_which_it_was_done(
    office: Office, endpoint: Endpoint
) -> None:
    undone = {**WORK, "undo": {"tool": "do.undo", "with": {"of": "${ output.id }"}}}
    plans(endpoint, {"a": undone, "part": {"goal": "Half.", "needs": ["a"]}, "b": {**undone, "needs": ["part"]}})
    plans(endpoint, {"x": undone, "y": {**undone, "needs": ["x"]}})
    plans(endpoint, {"y2": undone})
    plans(endpoint, {"c": undone, "d": {**undone, "needs": ["c"]}})
    plans(endpoint, {"e": {"steps": {"z": undone}}})
    office.broken = {"reach.part.y", "reach.b", "reach.d", "undo reach.e.z", "undo reach.part.y2"}
    run = await office.start(
        process().replace(
            "        output: $",
            "          end: {tool: do.work, needs: [reach], with: {fails: true}, on_failure: fail}\n        output: $",
        )
    )
    for step, done in (("reach.e.z", []), ("reach.part.y2", ["reach.e.z", "reach.c"])):
        await run.parked(step)
        assert effects(office, "undo") == done
        office.broken.discard(f"undo {step}")
        await run.repair(step, "retry")
    await run.until(lambda view: view.status == "undone")
    assert effects(office) == ["order", "reach.a", "reach.part.x", "reach.part.y2", "reach.c", "reach.e.z"]
    assert effects(office, "undo") == ["reach.e.z", "reach.c", "reach.part.y2", "reach.part.x", "reach.a"]


async def test_a_planned_agent_sees_the_objective_and_what_it_needs_not_the_whole_world(
    office: Office, endpoint: Endpoint
) -> None:
    plans(
        endpoint,
        {
            "a": {**WORK, "with": {"what": "seen"}},
            "other": {**WORK, "with": {"what": "hidden"}},
            "ask": {"agent": "clerk", "task": "Judge.", "needs": ["a"]},
        },
    )
    endpoint.say("fine")
    run = await office.start(process())
    await run.handle.result()
    context = told(endpoint, 1)
    assert "Deal with A-1." in context
    assert '"what":"seen"' in context
    assert "hidden" not in context


async def test_a_goal_inside_a_plan_is_planned_with_what_the_outer_one_has_and_no_deeper(
    office: Office, endpoint: Endpoint
) -> None:
    plans(endpoint, {"part": {"goal": "The first half."}})
    plans(endpoint, {"deeper": {"goal": "Too deep."}})
    plans(endpoint, {"x": WORK})
    run = await office.start(process())
    await run.handle.result()
    assert "no goals inside goals at this depth" in told(endpoint, 2)
    assert effects(office) == ["order", "reach.part.x"]


async def test_the_goals_limits_hold_for_planner_and_agents_together(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"ask": {"agent": "clerk", "task": "Judge.", "on_failure": "ask"}})
    run = await office.start(process("limits: {turns: 1}"))
    view = await run.parked("reach.ask")
    assert "goal reach has no turns left" in view.incidents[0].error.message
    await run.cancel()


@pytest.mark.parametrize("on_reject", ["stop", "continue"])
async def test_after_a_refused_change_the_failed_step_is_not_called_again(
    office: Office, endpoint: Endpoint, on_reject: str
) -> None:
    office.broken = {"reach.a"}
    plans(endpoint, {"a": WORK})
    plans(endpoint, {"b": WORK})
    run = await office.start(process(f"review: {{on_reject: {on_reject}, from: [{{any_of: [user:ada]}}]}}"))
    await run.waiting("reach")
    await run.decide("reach", "approve", "user:ada")
    await run.until(lambda view: any(wait.title.startswith("Change the plan") for wait in view.waiting))
    await run.decide("reach", "reject", "user:ada", comment="no more")
    if on_reject == "continue":
        view = await run.parked("reach.a")
        assert "the change of the plan was refused by user:ada" in view.incidents[0].error.message
        await run.repair("reach.a", "abort")
    await run.until(lambda view: view.status == "failed")
    assert office.calls["reach.a"] == 1


async def test_changes_are_bounded_also_when_steps_fail_at_the_same_time(office: Office, endpoint: Endpoint) -> None:
    office.broken = {"reach.a", "reach.b"}
    plans(endpoint, {"a": WORK, "b": WORK})
    plans(endpoint, {"c": WORK})
    run = await office.start(process("replans: 1"))
    view = await run.until(lambda view: len(view.incidents) == 1)
    assert "changed 1 times already" in view.incidents[0].error.message
    await run.cancel()


async def test_a_goal_that_cannot_be_mended_does_as_its_on_failure_says(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": WORK})
    run = await office.start(process("replans: 0", "success: ${ 1 > 2 }", "on_failure: continue"))
    assert (await run.handle.result()).output is None


async def test_a_goal_can_repeat_and_each_round_has_a_plan_of_its_own(office: Office, endpoint: Endpoint) -> None:
    plans(endpoint, {"a": WORK})
    plans(endpoint, {"b": WORK})
    run = await office.start(process("repeat: {until: '${ 1 > 2 }', max: 2}"))
    view = await run.parked("reach")
    assert "did not hold in 2 rounds" in view.incidents[0].error.message
    await run.repair("reach", "skip")
    await run.handle.result()
    assert effects(office) == ["order", "reach#1.a", "reach#2.b"]


async def test_agents_at_work_at_the_same_time_stay_inside_their_goals_limits(
    office: Office, endpoint: Endpoint
) -> None:
    plans(endpoint, {f"a{n}": {"agent": "clerk", "task": "x", "on_failure": "ask"} for n in range(4)})
    for _ in range(4):
        endpoint.say("fine")
    run = await office.start(process("limits: {turns: 3}"))
    view = await run.until(lambda view: len(view.incidents) == 2)
    assert view.cost.calls == 3
    await run.cancel()


async def test_the_planner_is_told_what_completed_inside_of_what_failed(office: Office, endpoint: Endpoint) -> None:
    office.broken = {"reach.part.y"}
    plans(endpoint, {"part": {"steps": {"x": {**WORK, "with": {"what": "kept"}}, "y": {**WORK, "needs": ["x"]}}}})
    plans(endpoint, {"other": WORK})
    run = await office.start(process())
    await run.handle.result()
    assert '"completed_inside":{"part.x":' in told(endpoint, 1)


async def test_a_plan_that_is_no_text_goes_back(office: Office, endpoint: Endpoint) -> None:
    endpoint.say('{"steps": {"a": {"tool": "do.work", "with": {"what": "\\ud800"}}}}')
    plans(endpoint, {"a": WORK})
    run = await office.start(process())
    await run.handle.result()
    assert effects(office) == ["order", "reach.a"]
