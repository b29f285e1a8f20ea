"""Plans that agents write for goals: how one is asked for, checked, kept and changed."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, TypeAdapter

from contracts.base import Contract, Json
from contracts.errors import Problem
from contracts.process import AgentSpec, GoalStep, Step
from contracts.tools import ToolSpec

_STEPS: TypeAdapter[dict[str, Step]] = TypeAdapter(dict[str, Step])

PlannedSteps = Annotated[
    dict[str, Step],
    PlainSerializer(lambda steps: _STEPS.dump_python(steps, mode="json", by_alias=True, exclude_unset=True)),
]


class Revision(Contract):
    """A plan, or a change of one. `added`, `removed`, `changed`: ids of steps; `kept`: those that had begun."""

    number: int
    at: datetime
    by: str
    reason: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    difference: str = Field(default="", description="unified, line by line")
    approved_by: str | None = None


class PlanRecord(Contract):
    """A goal's plan as it stands: every step of it, also those that a change left behind as they had ended.

    `proposal`: what its planner gave last, until it is known to hold. `draft`: a checked plan, or change of one, that
    waits for its review. `failed`: the step whose failure a change that is under way answers.
    """

    objective: str = ""
    steps: PlannedSteps = {}
    output: Json = None
    revisions: tuple[Revision, ...] = ()
    proposal: "Proposal | None" = None
    draft: "Draft | None" = None
    replans: int = Field(default=0, description="changes made for failures, of those the goal allows")
    tainted: bool = Field(default=False, description="whether its planner had read text from outside")
    failed: str | None = None

    def unchanged(self) -> "PlanRecord":
        """Without the change that was under way."""
        return self.model_copy(update={"proposal": None, "draft": None, "failed": None})


class Proposal(Contract):
    """A planner's answer. `attempt`: the first, or the one after so many corrections."""

    attempt: int
    plan: Json


class Draft(Contract):
    steps: PlannedSteps
    output: Json = None
    reason: str
    by: str


class CheckPlan(Contract):
    """Check a plan as a user's file is checked. `outer`: steps it may refer to besides its own; `taken`: ids that
    are in use in the plan already."""

    plan: Json
    goal: Annotated[
        GoalStep, PlainSerializer(lambda goal: goal.model_dump(mode="json", by_alias=True, exclude_unset=True))
    ]
    agents: dict[str, AgentSpec] = {}
    tools: dict[str, ToolSpec] = {}
    outer: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    tainted: bool = Field(default=False, description="whether the planner had read text from outside")


class CheckedPlan(Contract):
    """`text`: the plan as the problems' lines count it."""

    steps: PlannedSteps = {}
    output: Json = None
    problems: tuple[Problem, ...] = ()
    text: str = ""


PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["steps"],
    "properties": {"steps": {"type": "object"}, "output": {}},
    "additionalProperties": False,
}
"""The shape of a planner's answer; what the steps may be is checked by the language itself."""
