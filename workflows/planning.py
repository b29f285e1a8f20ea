"""How a plan is asked of a planner: what it is told, and the differences between one plan and the next. Pure."""

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import TypeAdapter
from pydantic_core import to_json

from contracts.base import Json
from contracts.errors import ErrorInfo, Problem
from contracts.plans import Draft, PlannedSteps, PlanRecord, Revision
from contracts.process import AgentSpec, Budget, GoalStep, Limits, Step
from contracts.tools import ToolSpec

MAX_CORRECTIONS = 3
"""How often what is wrong with a plan goes back to its planner."""

_STEPS: TypeAdapter[dict[str, Step]] = TypeAdapter(PlannedSteps)

GUIDE = """\
Answer with JSON: {"steps": {"id": {...}, ...}, "output": ...}. `output` may be left out; it makes the goal's \
result of the steps' outputs, such as {"total": "${ steps.sum.output.total }"}.
A step is exactly one of
  {"tool": NAME, "with": {ARGUMENT: VALUE}}
  {"agent": NAME, "task": TEXT, "with": {...}, "output": JSON SCHEMA}
  {"steps": {...}} a group, {"goal": TEXT} a part that is planned later, {"wait": "2h"},
  {"approval": {"title": TEXT, "from": [{"any_of": ["group:NAME"]}]}}
and may have "needs": [ids], "when": "${ CEL }", "for_each": "${ CEL list }" (with `item` and `index` in scope),
"success": "${ CEL over output }", "undo": {"tool": NAME, "with": {...}}, "repeat": {"until": "${ CEL }", "max": N}.
Ids are letters, digits and _. Values refer to earlier results as "${ steps.ID.output.FIELD }" (CEL), which makes that \
step a need without being listed. Steps that do not depend on each other run at the same time: add no other needs.
Use only the agents and tools that are given. Give each step that can turn out wrong a `success` that shows it."""

BUILT_IN_PLANNER = AgentSpec(
    instructions="You plan work. You break an objective down into the fewest steps that reach it, each for the "
    "agent or tool that suits it best, in dependency order, with typed outputs and criteria of success.",
    limits=Limits(turns=6),
)


def request_for(
    goal: GoalStep,
    objective: str,
    *,
    given: Mapping[str, Json],
    agents: Mapping[str, AgentSpec],
    tools: Iterable[ToolSpec],
    outputs: Mapping[str, Json],
    depth: int,
) -> dict[str, Json]:
    """What a planner sees of the world: the objective and what it may use for it."""
    request: dict[str, Json] = {
        "objective": objective,
        "given": dict(given),
        "agents": {name: spec.instructions for name, spec in agents.items()},
        "tools": {
            spec.name: {
                "does": spec.description,
                "effect": spec.effect,
                "with": spec.parameters,
                "output": spec.returns,
            }
            for spec in tools
        },
        "earlier_steps": dict(outputs),
        "goals_allowed": depth > 1,
    }
    if goal.output is not None:
        request["output"] = goal.output
    if goal.success is not None:
        request["success"] = goal.success
    if goal.limits != Budget():
        request["limits"] = goal.limits.model_dump(mode="json", exclude_none=True)
    return request


def change_of(
    record: PlanRecord,
    statuses: Mapping[str, tuple[str, Json]],
    inside: Mapping[str, Json],
    failed: str,
    error: ErrorInfo,
) -> dict[str, Json]:
    """What a planner sees of a plan that is to change. `statuses`: status and output of each step; `inside`: outputs of
    what completed inside of groups and the like."""
    remaining = {name: step for name, step in _as_json(record.steps).items() if statuses[name][0] == "pending"}
    return {
        "begun": {
            name: {"status": status, "output": output}
            for name, (status, output) in statuses.items()
            if name not in remaining
        },
        "failed": {"step": failed, "error": error.type, "message": error.message},
        "completed_inside": dict(inside),
        "remaining": remaining,
        "answer": "Give the steps that are to run from now on in place of `remaining`: keep, change or leave out any "
        "of them, add others. What has begun is kept and not done again; refer to it, and use ids it does not use.",
    }


def correction(problems: Iterable[Problem], text: str) -> dict[str, Json]:
    """What a planner is told of a plan that does not hold; lines and columns are those of the text."""
    numbered = "\n".join(f"{number:>3} {line}" for number, line in enumerate(text.splitlines(), start=1))
    return {"your_plan": numbered, "mistakes": [str(problem) for problem in problems]}


def revised(record: PlanRecord, draft: Draft, kept: Iterable[str], at: datetime, approved_by: str | None) -> PlanRecord:
    """The plan after a draft was taken: what had begun is kept, the rest is the draft's."""
    kept_names = tuple(kept)
    before = {name: step for name, step in record.steps.items() if name not in kept_names}
    old, new = _as_json(before), _as_json(draft.steps)
    revision = Revision(
        number=len(record.revisions) + 1,
        at=at,
        by=draft.by,
        reason=draft.reason,
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and old[name] != new[name]),
        kept=kept_names,
        difference=_difference(old, new),
        approved_by=approved_by,
    )
    return record.unchanged().model_copy(
        update={
            "steps": {**{name: record.steps[name] for name in kept_names}, **draft.steps},
            "output": draft.output if draft.output is not None else record.output,
            "revisions": (*record.revisions, revision),
        }
    )


def shown(draft: Draft) -> dict[str, Json]:
    """A draft as people review it, and edit it."""
    plan: dict[str, Json] = {"steps": _as_json(draft.steps)}
    return plan if draft.output is None else {**plan, "output": draft.output}


def _as_json(steps: Mapping[str, Step]) -> dict[str, Json]:
    made: dict[str, Json] = _STEPS.dump_python(dict(steps), mode="json")
    return made


def _difference(old: Mapping[str, Json], new: Mapping[str, Json]) -> str:
    before, after = (to_json(steps, indent=2).decode().splitlines() if steps else [] for steps in (old, new))
    return "\n".join(list(difflib.unified_diff(before, after, "before", "after", lineterm="", n=2))[2:])
