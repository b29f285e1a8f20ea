"""Checks a plan that a planner wrote for a goal, by the rules of a user's file and by what the goal grants."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from contracts.base import Json
from contracts.errors import DefinitionInvalid, Problem
from contracts.plans import CheckedPlan, CheckPlan
from contracts.process import AgentStep, EmitStep, EventStep, GoalStep, GroupStep, ProcessStep, Step, ToolStep
from language.legs import Legs
from language.load import completed
from language.names import Names, walk
from language.references import References
from language.source import Source, load_yaml
from language.structure import close, parse

MAX_STEPS = 200
"""Of one plan, groups' steps included: what a person can still review."""

NAME = "plan"


def check_plan(request: CheckPlan) -> CheckedPlan:
    """The plan's steps with complete needs, or every mistake in it at its line and column of the plan as indented
    JSON."""
    text = to_json(request.plan, indent=2).decode()
    try:
        return _checked(request, text)
    except DefinitionInvalid as error:
        return CheckedPlan(problems=tuple(error.problems), text=text)


def _checked(request: CheckPlan, text: str) -> CheckedPlan:
    source = load_yaml(text, NAME)
    if not isinstance(source.data, dict) or not isinstance(source.data.get("steps"), dict):
        source.refuse(source.place(()), "a plan is an object with `steps`", 'write {"steps": {...}}')
    for key in set(source.data) - {"steps", "output"}:
        source.report(source.key((key,)), f"unknown key `{key}`", "a plan has steps and output")
    is_empty = not source.data["steps"] and bool(request.taken)
    if is_empty:  # Nothing more is to be done; what stands in for a step is left out again.
        source.data["steps"] = {"_": {"wait": "0s"}}
    agents = {name: spec.model_dump(mode="json", exclude_unset=True) for name, spec in request.agents.items()}
    written = {"steps": source.data["steps"], "output": source.data.get("output")}
    source.data = {"process": NAME, "agents": agents, **written}
    process, dropped = parse(source)
    if process is None or source.problems:
        raise _invalid(source)
    references = References(
        source, dropped, outer=frozenset({*request.outer, *request.taken}), keys=frozenset(request.state)
    )
    references.check(process)
    Names(source, dropped, request.tools, (), planned=True).check(process)
    Legs(source, process, request.tools, planned=True).check()
    _Grants(source, request).check(process.steps)
    if source.problems:
        raise _invalid(source)
    steps = {} if is_empty else completed(process.steps, ("steps",), references.needs)
    return CheckedPlan(steps=_planned(steps, request.goal), output=process.output, text=text)


class _Grants:
    """What a plan may not do though a file may: go beyond what its goal was granted."""

    def __init__(self, source: Source, request: CheckPlan) -> None:
        self._source = source
        self._request = request

    def check(self, steps: Mapping[str, Step]) -> None:
        found = list(walk(steps))
        if len(found) > MAX_STEPS:
            message = f"the plan has {len(found)} steps; at most {MAX_STEPS} are run"
            self._source.report(
                self._source.place(("steps",)), message, "give whole parts of it to agents, or to goals"
            )
        for path, step in found:
            self._step(path, step)

    def _step(self, path: tuple[str | int, ...], step: Step) -> None:
        goal = self._request.goal
        name = str(path[-1])
        report = self._source.report
        if len(path) == 2 and name in self._request.taken:
            report(self._source.key(path), f"`{name}` has begun already", f"choose another id, such as `{name}_2`")
        if isinstance(step, ToolStep) and step.accepts_untrusted:
            place = self._source.place((*path, "accepts_untrusted"))
            report(place, "a plan cannot say that a tool accepts untrusted text", "give the step to people: `approve`")
        if step.undo is not None and self._request.tainted:
            message = "a planner that has read text from outside cannot say how effects are taken back"
            report(self._source.place((*path, "undo")), message, "leave `undo` out")
        if isinstance(step, ProcessStep | EmitStep | EventStep):
            report(
                self._source.place((*path, step.kind)), f"a plan cannot have `{step.kind}` steps", "use tool or agent"
            )
        if isinstance(step, GoalStep):
            if goal.depth < 2:
                hint = "write its steps here, or give it to an agent"
                report(self._source.place((*path, "goal")), "no goals inside goals at this depth", hint)
            if "depth" in step.model_fields_set and step.depth >= goal.depth:
                report(self._source.place((*path, "depth")), f"`depth` is {step.depth}", f"at most {goal.depth - 1}")
            if "planner" in step.model_fields_set and step.planner not in (goal.planner, *goal.agents):
                report(
                    self._source.place((*path, "planner")), f"`{step.planner}` is not granted", f"use {goal.planner}"
                )
        if isinstance(step, AgentStep) and step.agent not in goal.agents:
            hint = close(step.agent, goal.agents)
            report(self._source.place((*path, "agent")), f"the agent `{step.agent}` is not granted to this goal", hint)


def _planned(steps: Mapping[str, Step], goal: GoalStep) -> dict[str, Step]:
    """The steps with what goes without saying in a plan: a failure changes the plan, an inner goal has what the
    outer one has."""
    made: dict[str, Step] = {}
    for name, step in steps.items():
        changes: dict[str, Any] = {}
        if "on_failure" not in step.model_fields_set:
            changes["on_failure"] = "replan"
        if isinstance(step, GroupStep):
            changes["steps"] = _planned(step.steps, goal)
        if isinstance(step, GoalStep):
            given = step.model_fields_set
            inherited: dict[str, Json] = {
                "agents": goal.agents,
                "tools": goal.tools,
                "planner": goal.planner,
                "depth": goal.depth - 1,
            }
            changes |= {key: value for key, value in inherited.items() if key not in given}
        made[name] = step.model_copy(update=changes)
    return made


def _invalid(source: Source) -> DefinitionInvalid:
    unique: dict[str, Problem] = {str(problem): problem for problem in source.problems}
    return DefinitionInvalid(sorted(unique.values(), key=lambda problem: (problem.line, problem.column)))
