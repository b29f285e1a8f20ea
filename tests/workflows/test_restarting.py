"""What of an ended run a rerun keeps and what starts again, where plans, joins, rounds and agents are in it."""

from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

import pytest

from contracts.effects import Unaccepted
from contracts.errors import ErrorInfo, Refused
from contracts.plans import PlanRecord, Revision
from contracts.run import Definition, Snapshot, StepRecord
from contracts.tools import ToolSpec
from language.load import load_process
from workflows.plan import Plan
from workflows.restarting import Restart, restart

AT = datetime(2026, 1, 1, tzinfo=UTC)
TOOLS = {
    name: ToolSpec(name=name, effect=effect, idempotent=True, parameters={"type": "object"})
    for name, effect in (("do.work", "write"), ("do.undo", "write"), ("do.look", "read"))
}
CHILD = load_process("process: child\nsteps: {y: {tool: do.work}}", "child.yaml", tools=TOOLS)
BROKEN = ErrorInfo(type="ToolFailed", message="broken")


def definition(text: str) -> Definition:
    return load_process(dedent(text), "test.yaml", tools=TOOLS, processes={"child": CHILD})


def done(step: str, order: int, kind: str = "tool", **more: Any) -> StepRecord:
    return StepRecord(id=step, kind=kind, status="completed", order=order, started=AT, ended=AT, **more)


def other(step: str, status: Any, kind: str = "tool", **more: Any) -> StepRecord:
    return StepRecord(id=step, kind=kind, status=status, started=AT, **more)


def plan_of(text: str, *records: StepRecord) -> Plan:
    return Plan(definition(text).process.steps, {record.id: record for record in records})


def restarted(text: str, *records: StepRecord, from_: str | None = None, redo: bool = False) -> Restart:
    snapshot = Snapshot(started=AT, records=records, completions=len(records))
    return restart(definition(text), snapshot, from_, redo=redo)


def by_id(made: Restart) -> dict[str, StepRecord]:
    return {record.id: record for record in made.records}


def test_a_join_that_holds_by_what_is_kept_stays_and_so_does_what_it_cut_off() -> None:
    made = restarted(
        """
        process: race
        steps:
          a: {tool: do.work}
          b: {tool: do.work}
          first: {tool: do.work, needs: [a, b], join: any, cancel_rest: true}
          c: {tool: do.work, needs: [first]}
        """,
        done("a", 1),
        other("b", "cancelled"),
        done("first", 2),
        other("c", "failed", error=BROKEN),
    )
    assert (made.kept, made.again) == (("a", "first"), ("c",))
    assert by_id(made)["b"].status == "cancelled"


def test_a_step_that_another_part_did_without_starts_again_alone() -> None:
    text = """
        process: two-of-three
        steps:
          a: {tool: do.work}
          b: {tool: do.work}
          c: {tool: do.work}
          most: {tool: do.work, needs: [a, b, c], join: 2}
          all: {tool: do.look, needs: [a, b, c]}
    """
    made = restarted(text, done("a", 1), done("b", 2), other("c", "failed"), done("most", 3))
    assert (made.kept, made.again) == (("a", "b", "most"), ("c",))
    with pytest.raises(Refused, match=r"b, most: what was done stands"):
        restarted(text, done("a", 1), done("b", 2), other("c", "failed"), done("most", 3), from_="b")


def test_what_only_reads_is_done_again_without_more_ado() -> None:
    text = """
        process: reading
        steps:
          look: {tool: do.look}
          work: {tool: do.work, needs: [look]}
    """
    made = restarted(text, done("look", 1), other("work", "failed"), from_="look")
    assert (made.kept, made.again, made.redone) == ((), ("look", "work"), ())


def test_a_plan_goes_on_and_a_failure_it_was_changed_for_stays() -> None:
    text = """
        process: planned
        agents: {planner: {instructions: Plan.}}
        steps: {goal: {goal: Reach it, tools: [do.work]}, last: {tool: do.work, needs: [goal]}}
    """
    steps = definition("process: p\nsteps: {x: {tool: do.work}, y: {tool: do.work}, z: {tool: do.work, needs: [y]}}")
    revisions = (
        Revision(number=1, at=AT, by="agent:planner", reason="the objective", added=("x", "y")),
        Revision(number=2, at=AT, by="agent:planner", reason="x failed", added=("z",), kept=("x", "y")),
    )
    plan = PlanRecord(objective="Reach it", steps=steps.process.steps, revisions=revisions)
    made = restarted(
        text,
        other("goal", "cancelled", "goal", plan=plan),
        other("goal.x", "failed", error=BROKEN),
        done("goal.y", 1),
        other("goal.z", "failed", error=BROKEN),
    )
    records = by_id(made)
    assert (made.kept, made.again) == (("goal.y",), ("goal.z",))
    assert (records["goal"].status, records["goal"].plan) == ("running", plan)
    assert records["goal.x"].status == "failed"
    assert "goal.z" not in records
    anew = by_id(restarted(text, done("goal", 2, "goal", plan=plan), done("goal.y", 1), from_="goal", redo=True))
    assert "goal" not in anew
    assert anew["goal.y"].redone == 1
    refused = other("goal.x", "failed", unaccepted=(Unaccepted(key="p/goal.x", output=None, after=0),))
    with pytest.raises(Refused, match=r"^goal.x: what was done stands"):
        restarted(text, other("goal", "failed", "goal", plan=plan), refused, from_="goal")


def test_a_repeat_goes_on_in_the_first_round_that_was_taken_back() -> None:
    text = """
        process: rounds
        steps:
          r:
            tool: do.work
            repeat: {until: "${ output == 3 }"}
            undo: {tool: do.undo}
    """
    made = restarted(
        text,
        other("r", "cancelled", rounds=3),
        done("r#1", 1),
        other("r#2", "undone", order=2),
        other("r#3", "undone", order=3),
    )
    records = by_id(made)
    assert (records["r"].status, records["r"].rounds) == ("running", 2)
    assert (made.kept, made.again) == (("r#1",), ("r#2", "r#3"))
    assert [records[f"r#{number}"].redone for number in (1, 2, 3)] == [0, 1, 1]


def test_of_items_only_those_that_were_taken_back_are_done_anew() -> None:
    text = """
        process: items
        steps: {each: {tool: do.work, for_each: [1, 2], undo: {tool: do.undo}}}
    """
    made = restarted(
        text, other("each", "undone", order=3, input=[1, 2]), other("each[0]", "undone", order=1), done("each[1]", 2)
    )
    assert (made.kept, made.again) == (("each[1]",), ("each[0]",))
    assert by_id(made)["each"].status == "running"


def test_what_a_group_was_taken_back_with_is_done_anew_inside() -> None:
    text = """
        process: whole
        steps:
          g: {undo: {tool: do.undo}, steps: {x: {tool: do.work}, y: {tool: do.look}}}
          last: {tool: do.work, needs: [g]}
    """
    made = restarted(
        text, other("g", "undone", "steps", order=3), done("g.x", 1), done("g.y", 2), other("last", "failed")
    )
    assert by_id(made)["g.x"].redone == 1
    assert (made.kept, made.redone) == ((), ())


def test_an_agent_without_a_tool_that_changes_anything_may_answer_again() -> None:
    text = """
        process: asking
        agents:
          reader: {instructions: Read., tools: [do.look]}
          lead: {instructions: Lead., tools: [do.look], agents: [writer]}
          writer: {instructions: Write., tools: [do.work]}
        steps:
          read: {agent: reader, task: Read.}
          write: {agent: lead, task: Write., needs: [read]}
    """
    assert restarted(text, done("read", 1, "agent"), from_="read").again == ("read",)
    with pytest.raises(Refused, match="write: what was done stands"):
        restarted(text, done("read", 1, "agent"), done("write", 2, "agent"), from_="write")


def test_arguments_that_an_operator_gave_stay_with_the_step() -> None:
    amended = other("a", "failed", amended=2, input={"what": "mine"}, amended_by="user:op")
    made = restarted("process: amended\nsteps: {a: {tool: do.work}}", amended)
    assert (by_id(made)["a"].amended, by_id(made)["a"].input) == (2, {"what": "mine"})
    assert by_id(made)["a"].key("run") == "run/a~2"
    assert by_id(made)["a"].amended_by == "user:op"  # who may not be the one that agrees to them


def test_what_was_taken_back_inside_of_what_has_not_begun_again_is_not_forgotten() -> None:
    steps = definition("process: p\nsteps: {g: {steps: {x: {tool: do.work}}}}").process.steps
    taken_back = StepRecord(id="g.x", kind="tool", redone=1)
    plan = Plan(steps, {"g.x": taken_back})
    assert list(plan.records()) == [taken_back]
    group = plan.nodes["g"]
    plan.open_steps(group, steps["g"].steps)  # type: ignore[union-attr]  # it is the group
    assert list(plan.records()) == [taken_back]
    assert plan.nodes["g.x"].record.effect("run") == "run/g.x^1"
    assert not plan.nodes["g.x"].is_untouched


def test_what_a_rerun_did_not_come_to_is_as_people_left_it_in_the_next_one() -> None:
    text = """
        process: twice
        steps:
          first: {tool: do.work}
          g: {needs: [first], steps: {x: {tool: do.work}}}
    """
    amended = other("g.x", "failed", amended=1, input={"what": "mine"})
    second = restarted(text, other("first", "undone", order=1), other("g", "cancelled", "steps"), amended)
    third = restarted(text, *(record for record in second.records if record.id != "first"), other("first", "failed"))
    assert by_id(third)["g.x"] == by_id(second)["g.x"]
    assert (by_id(third)["g.x"].amended, by_id(third)["g.x"].input) == (1, {"what": "mine"})


PLANNED = """
    process: planned
    agents: {planner: {instructions: Plan.}}
    steps:
      first: {tool: do.look}
      goal: {goal: Reach it, tools: [do.work], needs: [first]}
"""


def planned(**more: Any) -> tuple[StepRecord, ...]:
    """A plan of one step that is still to start."""
    steps = definition("process: p\nsteps: {x: {tool: do.work}}").process.steps
    goal = other("goal", "running", "goal", plan=PlanRecord(objective="Reach it", steps=steps))
    return done("first", 1, "tool"), goal, StepRecord(id="goal.x", kind="tool", **more)


def test_of_a_step_that_is_planned_away_only_the_number_of_its_key_is_known_to_another_of_its_name() -> None:
    plan = plan_of(PLANNED, *planned(amended=1, input={"what": "mine"}, redone=1))
    scope = plan.nodes["goal"].inner
    assert scope is not None
    shown = [node.id for node in plan.first(10)]
    steps = definition("process: p\nsteps: {y: {tool: do.look}, x: {tool: do.look}}").process.steps
    plan.plan_away(plan.nodes["goal.x"])
    plan.add_steps(scope, {"y": steps["y"]})
    assert shown == ["first", "goal", "goal.x"]
    assert [node.id for node in plan.first(10)] == ["first", "goal", "goal.y"]
    plan.add_steps(scope, {"x": steps["x"]})
    assert plan.nodes["goal.x"].record == StepRecord(id="goal.x", kind="tool", redone=1)


def test_what_people_changed_of_a_step_is_none_of_one_with_its_name_in_a_plan_that_is_made_anew() -> None:
    records = planned(amended=1, input={"what": "mine"}, redone=1)
    made = restarted(PLANNED, *records, from_="first", redo=True)
    assert by_id(made)["goal.x"] == StepRecord(id="goal.x", kind="tool", redone=1)


def test_a_round_that_was_forgotten_does_not_come_back() -> None:
    text = "process: p\nsteps: {r: {tool: do.work, repeat: {until: '${ output == 3 }'}}}"
    plan = plan_of(text, StepRecord(id="r#1", kind="tool", redone=1))
    node = plan.nodes["r"]
    node.update(status="running", rounds=2)
    plan.forget(plan.open_round(node, 1))
    plan.open_round(node, 2).update(status="running")
    assert [record.id for record in plan.records()] == ["r", "r#2"]
    reopened = plan_of(text, *plan.records()).nodes["r"].inner
    assert reopened is not None
    assert list(reopened.nodes) == ["r#2"]


def test_rounds_of_which_nothing_is_known_any_more_are_not_done_once_more_by_the_way() -> None:
    text = """
        process: forgotten
        steps:
          look: {tool: do.look}
          r: {tool: do.work, needs: [look], repeat: {until: "${ output == 3 }"}}
    """
    records = (done("look", 1), other("r", "cancelled", rounds=3), other("r#3", "failed"))
    with pytest.raises(Refused, match=r"^r: what was done stands"):
        restarted(text, *records, from_="look")
    made = restarted(text, *records, from_="look", redo=True)
    plan = plan_of(text, *made.records)
    keys = [plan.open_round(plan.nodes["r"], number).record.key("run") for number in (1, 2, 3)]
    assert keys == ["run/r#1^1", "run/r#2^1", "run/r#3"]


def test_a_round_that_people_changed_stays_as_they_left_it_though_those_around_it_are_forgotten() -> None:
    text = """
        process: amended-round
        steps:
          first: {tool: do.look}
          r: {tool: do.work, needs: [first], repeat: {until: "${ output == 4 }"}}
    """
    mine = done("r#2", 2, amended=1, input={"what": "mine"})
    records = (done("first", 1), other("r", "cancelled", rounds=4), mine, other("r#4", "failed"))
    on = restarted(text, *records)
    assert (by_id(on)["r"].rounds, by_id(on)["r#2"], on.again) == (4, mine, ("r#4",))
    for from_ in ("first", "r#2"):  # after which the third is done once more too, of which nobody knows
        with pytest.raises(Refused, match=r"^r, r#2: what was done stands"):
            restarted(text, *records, from_=from_)
        plan = plan_of(text, *restarted(text, *records, from_=from_, redo=True).records)
        rounds = [plan.open_round(plan.nodes["r"], number).record for number in (1, 2, 3, 4)]
        assert [record.key("run") for record in rounds] == ["run/r#1^1", "run/r#2^1~1", "run/r#3^1", "run/r#4"]
        assert [record.input for record in rounds] == [None, {"what": "mine"}, None, None]


def test_a_race_that_was_to_be_run_anew_and_was_not_come_to_is_still_to_run() -> None:
    text = """
        process: race
        steps:
          a: {tool: do.work}
          b: {tool: do.work}
          first: {tool: do.work, needs: [a, b], join: any, cancel_rest: true}
    """
    made = restarted(
        text, other("a", "cancelled"), other("b", "cancelled"), StepRecord(id="first", kind="tool", redone=1)
    )
    assert set(made.again) >= {"a", "b"}


def test_what_was_done_inside_of_a_group_that_an_operator_skipped_is_known_after_the_run_continued() -> None:
    text = "process: p\nsteps: {g: {steps: {x: {tool: do.work, undo: {tool: do.undo}}}}}"
    plan = plan_of(text, other("g", "skipped", "steps"), done("g.x", 1))
    assert plan.nodes["g.x"].record.order == 1


def test_what_a_sub_process_left_is_asked_about_until_it_goes_on_or_the_step_itself_took_it_back() -> None:
    text = """
        process: parent
        steps:
          first: {tool: do.look}
          sub: {process: child, needs: [first]}
          own: {process: child, needs: [sub], undo: {tool: do.undo}}
          last: {tool: do.look, needs: [own]}
    """
    left: dict[str, Any] = {"stands": ("sub/y (do.work)",)}
    undone = other("sub", "undone", "process", order=2, **left)
    with pytest.raises(Refused, match=r"^sub/y \(do.work\): what was done stands"):
        restarted(text, done("first", 1), undone)
    made = restarted(text, done("first", 1), undone, redo=True)
    assert (made.redone, by_id(made)["sub"].stands) == (("sub/y (do.work)",), ())
    assert not restarted(text, done("first", 1), done("sub", 2), other("own", "undone", order=3, **left)).redone
    failed = other("sub", "failed", "process", child="run/sub", **left)
    second = restarted(text, other("first", "failed"), failed, redo=True)
    assert (by_id(second)["sub"].resumes, by_id(second)["sub"].stands) == ("run/sub", left["stands"])
    with pytest.raises(Refused, match=r"^sub/y \(do.work\)"):
        restarted(text, other("first", "failed"), by_id(second)["sub"])


def test_what_the_undo_of_a_group_took_back_of_a_step_in_it_is_owed_by_nobody_any_more() -> None:
    text = """
        process: p
        steps:
          g:
            undo: {tool: do.undo}
            steps:
              x: {tool: do.work, on_failure: continue, success: "${ output == 1 }"}
              y: {tool: do.work}
    """
    refused = other("g.x", "failed", unaccepted=(Unaccepted(key="p/g.x", output=None, after=0),))
    made = by_id(restarted(text, other("g", "undone", "group", order=2), refused, done("g.y", 1)))
    assert (made["g.x"].redone, made["g.x"].unaccepted) == (1, ())
