"""The process language as a model: what a user writes, after YAML and before checks across steps.

The published JSON Schema is generated from here. Steps are discriminated by the one key that says what they do.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from contracts.base import Contract, Duration, Json

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", description="kebab-case")]
StepId = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Who = Annotated[str, Field(pattern=r"^((user|group):[^\s:]+|starter)$", description="user:NAME or group:NAME")]
Expression = Annotated[str, Field(description="${ CEL }")]
JsonSchema = Annotated[dict[str, Any], Field(description="JSON Schema")]


class Retry(Contract):
    """How a failure that may pass is retried: `attempts` in all, waits growing from `first` by `factor` up to `max`."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    first: Duration = Field(default="1s", validate_default=True)
    factor: Annotated[float, Field(ge=1)] = 2
    max: Duration = Field(default="1m", validate_default=True)


class Limits(Contract):
    """What one agent step may use in all: model turns, tokens in and out, US dollars, wall time."""

    turns: Annotated[int, Field(ge=1, le=10_000)] = 20
    tokens: Annotated[int, Field(ge=1)] | None = None
    cost: Annotated[float, Field(gt=0)] | None = None
    time: Duration | None = None


class AgentSpec(Contract):
    """An agent: what it is told, which models answer for it (first one first), which tools it may call."""

    instructions: Annotated[str, Field(min_length=1)]
    model: str | Annotated[tuple[str, ...], Field(min_length=1)] = "default"
    tools: tuple[str, ...] = ()
    limits: Limits = Limits()


class Stage(Contract):
    """Who decides: `count` of `any_of` (default 1), or all of `all_of`."""

    any_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    all_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Stage":
        if (self.any_of is None) == (self.all_of is None):
            raise ValueError("write exactly one of any_of and all_of")
        if self.count is not None and self.any_of is None:
            raise ValueError("count goes with any_of")
        return self


class ApprovalRow(Contract):
    """A row of the approval matrix: `stages` in order, or one stage written in the row itself."""

    when: Expression | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] | None = None
    any_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    all_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _stages_or_stage(self) -> "ApprovalRow":
        if self.stages is None:
            self.resolved_stages()
        elif (self.any_of, self.all_of, self.count) != (None, None, None):
            raise ValueError("write either stages, or any_of / all_of / count, not both")
        return self

    def resolved_stages(self) -> tuple[Stage, ...]:
        return self.stages or (Stage(any_of=self.any_of, all_of=self.all_of, count=self.count),)


class Escalation(Contract):
    """After this long, these people may decide too."""

    after: Duration
    to: Annotated[tuple[Who, ...], Field(min_length=1)]


class Approval(Contract):
    """What people are asked, what they are shown, who they are, and what happens when they do not answer."""

    title: Annotated[str, Field(min_length=1)]
    show: dict[str, Json] = {}
    from_: Annotated[tuple[ApprovalRow, ...], Field(alias="from", min_length=1)]
    not_by: tuple[Who, ...] = ()
    remind: Duration | None = None
    escalate: Escalation | None = None
    expires: Duration | None = None
    on_expiry: Literal["reject", "approve"] = "reject"
    on_reject: Literal["stop", "continue"] = "stop"


class Undo(Contract):
    """The tool call that takes a completed step's effect back. `output` is in scope in `with`."""

    tool: str
    with_: Annotated[dict[str, Json], Field(alias="with")] = {}


class Until(Contract):
    """A wait that ends at a moment: RFC 3339, or an expression that gives one."""

    until: str


class StepBase(Contract):
    """What any step can carry."""

    kind: ClassVar[str]

    description: str | None = None
    needs: tuple[StepId, ...] = ()
    when: Expression | bool | None = None
    for_each: Expression | tuple[Json, ...] | None = None
    parallel: Annotated[int, Field(ge=1)] | None = None
    with_: Annotated[dict[str, Json], Field(alias="with")] = {}
    output: JsonSchema | None = None
    success: Expression | None = None
    retry: Retry | None = None
    timeout: Duration | None = None
    deadline: Duration | None = None
    on_failure: Literal["ask", "fail", "continue"] = "ask"
    undo: Undo | None = None
    priority: Annotated[int, Field(ge=1, le=5)] | None = None

    @model_validator(mode="after")
    def _parallel_needs_items(self) -> "StepBase":
        if self.parallel is not None and self.for_each is None:
            raise ValueError("parallel goes with for_each")
        return self


class ToolStep(StepBase):
    kind: ClassVar[str] = "tool"
    tool: str


class AgentStep(StepBase):
    kind: ClassVar[str] = "agent"
    agent: str
    task: Annotated[str, Field(min_length=1)]


class ApprovalStep(StepBase):
    kind: ClassVar[str] = "approval"
    approval: Approval


class GroupStep(StepBase):
    """A group. Inside it `steps.ID` looks in the group first, then outward."""

    kind: ClassVar[str] = "steps"
    steps: Annotated[dict[StepId, "Step"], Field(min_length=1)]


class ProcessStep(StepBase):
    kind: ClassVar[str] = "process"
    process: Name


class WaitStep(StepBase):
    kind: ClassVar[str] = "wait"
    wait: Duration | Until


STEP_KINDS: dict[str, type[StepBase]] = {
    model.kind: model for model in (ToolStep, AgentStep, ApprovalStep, GroupStep, ProcessStep, WaitStep)
}


def step_kind(value: Any) -> str | None:
    """The discriminator of a step: the tag `step:KIND`, or None when the value has none or several of the keys."""
    if isinstance(value, StepBase):
        return f"step:{value.kind}"
    found = [kind for kind in STEP_KINDS if isinstance(value, dict) and kind in value]
    return f"step:{found[0]}" if len(found) == 1 else None


Step = Annotated[
    Annotated[ToolStep, Tag("step:tool")]
    | Annotated[AgentStep, Tag("step:agent")]
    | Annotated[ApprovalStep, Tag("step:approval")]
    | Annotated[GroupStep, Tag("step:steps")]
    | Annotated[ProcessStep, Tag("step:process")]
    | Annotated[WaitStep, Tag("step:wait")],
    Discriminator(step_kind),
]


class Value(Contract):
    """What one run saves against doing it by hand."""

    manual_minutes: Annotated[float, Field(ge=0)]
    hourly_cost: Annotated[float, Field(ge=0)] = 0
    currency: str = "EUR"


class Process(Contract):
    """A whole process file."""

    process: Name
    version: Annotated[int, Field(ge=1)] = 1
    description: str = ""
    input: JsonSchema = {}
    agents: dict[StepId, AgentSpec] = {}
    steps: Annotated[dict[StepId, Step], Field(min_length=1)]
    output: Json = None
    value: Value | None = None


GroupStep.model_rebuild()
