"""The process language as a model: what a user writes, after YAML and before checks across steps.

The published JSON Schema is generated from here. Steps are discriminated by the one key that says what they do.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from contracts.adapters import Adapter
from contracts.approval import Approval, Approve, CallApproval
from contracts.base import Contract, Duration, Expression, Json, JsonSchema, Topic
from contracts.grants import Grant
from contracts.triggers import Trigger

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", description="kebab-case")]
StepId = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Operation = Literal["set", "merge", "append", "add"]
WRITES = frozenset(get_args(Operation))
OnConflict = Literal["reject", "last_wins", "first_wins", "merge"]


PLANNER = "planner"
"""The agent that plans a goal; there is one of this name also when the process declares none."""


class Retry(Contract):
    """How a failure that may pass is retried: `attempts` in all, waits growing from `first` by `factor` up to `max`."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    first: Duration = Field(default="1s", validate_default=True)
    factor: Annotated[float, Field(ge=1)] = 2
    max: Duration = Field(default="1m", validate_default=True)


class Budget(Contract):
    """What a run or a goal may use in all: model turns, tokens in and out, US dollars, wall time."""

    turns: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    cost: Annotated[float, Field(gt=0)] | None = None
    time: Duration | None = None


class CheaperModel(Contract):
    """At a limit: this model alias answers for the rest, with a quarter of the limits on top, once."""

    model: str


class AskPeople(Contract):
    """At a limit: people may raise it. Approved, by as much again, or by what they edited (`{turns: 5}`)."""

    ask: Approve


AtLimit = Literal["stop"] | CheaperModel | AskPeople


class Limits(Budget):
    """What one agent step may use in all, and what becomes of it there. A turn is one call of the model."""

    turns: Annotated[int, Field(ge=1)] = 20
    at_limit: AtLimit = "stop"
    depth: Annotated[int, Field(ge=1, le=10, description="levels of agents that work for each other")] = 3


class Debate(Contract):
    """Agents that an agent may have argue a question: in each round everyone sees the others' last positions."""

    among: Annotated[tuple[StepId, ...], Field(min_length=2, max_length=10)]
    rounds: Annotated[int, Field(ge=1, le=10)] = 3

    @model_validator(mode="after")
    def _each_once(self) -> "Debate":
        if len(set(self.among)) < len(self.among):
            raise ValueError("among names an agent twice")
        return self


class Compaction(Contract):
    """What becomes of a conversation that fills its model's window: `keep` stops the agent, `summarise` has the model
    sum up all but the last turns, `drop_results` takes old tool results out. `at`: the part of the window that is
    full then."""

    policy: Literal["keep", "summarise", "drop_results"] = "drop_results"
    at: Annotated[float, Field(ge=0.1, le=0.95)] = 0.8


class AgentSpec(Contract):
    """An agent: what it is told, which models answer for it (first one first), which tools it may call, for which
    calls people are asked, with whom it works.

    `description`: what those who may call on it are told of it. `input` and `output`: what it takes and answers when
    it is called on; of an agent step, the step's own `output` goes first. `agents`: to whom it may give tasks.
    `peers`: whom it may ask, again and again in one conversation. `hand_over`: who may answer in its place.
    `adapter`: an agent of another framework decides in the models' place, and `instructions` come on top of its own.
    """

    instructions: Annotated[str, Field(min_length=1)] = ""
    description: str = ""
    adapter: Adapter | None = None
    model: str | Annotated[tuple[str, ...], Field(min_length=1)] = "default"
    tools: tuple[Grant, ...] = ()
    approve: tuple[CallApproval, ...] = ()
    limits: Limits = Limits()
    input: JsonSchema | None = None
    output: JsonSchema | None = None
    agents: tuple[StepId, ...] = ()
    peers: tuple[StepId, ...] = ()
    hand_over: tuple[StepId, ...] = ()
    debate: Debate | None = None
    compaction: Compaction = Compaction()

    @model_validator(mode="after")
    def _is_told_what_to_do(self) -> "AgentSpec":
        if not self.instructions and self.adapter is None:
            raise ValueError("write `instructions`, or an `adapter` that has its own")
        return self


class Undo(Contract):
    """The tool call that takes a completed step's effect back. `output` is in scope in `with`."""

    tool: str
    with_: Annotated[dict[str, Json], Field(alias="with")] = {}


class Until(Contract):
    """A wait that ends at a moment: RFC 3339, or an expression that gives one."""

    until: str


class Repeat(Contract):
    """Again, `every` so often, until the condition holds of the `output`; at most `max` rounds."""

    until: Expression
    max: Annotated[int, Field(ge=1, le=10_000)] = 100
    every: Duration | None = None


class Fallback(Contract):
    """The step that runs instead of one that failed."""

    fallback: StepId


class StepBase(Contract):
    """What any step can carry."""

    kind: ClassVar[str]

    description: str | None = None
    needs: tuple[StepId, ...] = ()
    join: Literal["all", "any"] | Annotated[int, Field(ge=1)] = "all"
    cancel_rest: bool = False
    when: Expression | bool | None = None
    for_each: Expression | tuple[Json, ...] | None = None
    parallel: Annotated[int, Field(ge=1)] | None = None
    repeat: Repeat | None = None
    with_: Annotated[dict[str, Json], Field(alias="with")] = {}
    output: JsonSchema | None = None
    success: Expression | None = None
    retry: Retry | None = None
    timeout: Duration | None = None
    deadline: Duration | None = None
    on_failure: Literal["ask", "fail", "continue", "replan"] | Fallback = "ask"
    undo: Undo | None = None
    priority: Annotated[int, Field(ge=1, le=5)] | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> "StepBase":
        if self.parallel is not None and self.for_each is None:
            raise ValueError("parallel goes with for_each")
        if self.cancel_rest and self.join == "all":
            raise ValueError("cancel_rest goes with `join: any` or a number: after all needs there is no rest")
        return self


class ToolStep(StepBase):
    kind: ClassVar[str] = "tool"
    tool: str
    approve: Approve | None = None
    accepts_untrusted: bool = Field(
        default=False, description="its arguments may hold text from outside, which the tool takes as mere data"
    )


class AgentStep(StepBase):
    kind: ClassVar[str] = "agent"
    agent: str
    task: Annotated[str, Field(min_length=1)]
    approve: Approve | None = None


class GoalStep(StepBase):
    """An objective that a planner agent turns into steps, out of the agents and tools that are granted here.

    `depth`: levels of goals, this one included. `replans`: changes of the plan after failures. `limits`: of the
    planner and all agents of the plan together.
    """

    kind: ClassVar[str] = "goal"
    goal: Annotated[str, Field(min_length=1)]
    planner: StepId = PLANNER
    agents: tuple[StepId, ...] = ()
    tools: tuple[str, ...] = ()
    review: Approve | None = None
    depth: Annotated[int, Field(ge=1, le=10)] = 2
    replans: Annotated[int, Field(ge=0, le=100)] = 3
    limits: Budget = Budget()


class GroupStep(StepBase):
    """A group. Inside it `steps.ID` looks in the group first, then outward."""

    kind: ClassVar[str] = "steps"
    steps: Annotated[dict[StepId, "Step"], Field(min_length=1)]


class ProcessStep(StepBase):
    kind: ClassVar[str] = "process"
    process: Name


class ApprovalStep(StepBase):
    kind: ClassVar[str] = "approval"
    approval: Approval


class EventStep(StepBase):
    """Waits for an event of a topic; `match` and `key` narrow it, `within` bounds the wait."""

    kind: ClassVar[str] = "event"
    event: Topic
    match: Expression | None = None
    key: str | None = None
    within: Duration | None = None


class WaitStep(StepBase):
    kind: ClassVar[str] = "wait"
    wait: Duration | Until


class StateWrite(Contract):
    """A write to one key of the run's shared state; with `if_version`, as one who saw that version."""

    key: StepId
    set: Json = None
    merge: Json = None
    append: Json = None
    add: Json = None
    if_version: Annotated[int, Field(ge=0)] | Expression | None = None

    @model_validator(mode="after")
    def _one_operation(self) -> "StateWrite":
        if len(self.model_fields_set & WRITES) != 1:
            raise ValueError("write exactly one of set, merge, append and add")
        return self

    @property
    def operation(self) -> "Operation":
        return next(name for name in get_args(Operation) if name in self.model_fields_set)

    @property
    def operand(self) -> Json:
        return getattr(self, self.operation)


class StateStep(StepBase):
    kind: ClassVar[str] = "state"
    state: StateWrite


class EmitStep(StepBase):
    """Publishes an event, `with` its data. Those who wait with the same `key` get it, and those who wait without."""

    kind: ClassVar[str] = "emit"
    emit: Topic
    key: str | None = None


STEP_KINDS: dict[str, type[StepBase]] = {
    model.kind: model
    for model in (
        ToolStep,
        AgentStep,
        GoalStep,
        GroupStep,
        ProcessStep,
        ApprovalStep,
        EventStep,
        WaitStep,
        StateStep,
        EmitStep,
    )
}


def step_kind(value: Any) -> str | None:
    """The discriminator of a step: the tag `step:KIND`, or None when the value has none or several of the keys."""
    if isinstance(value, dict):
        found = STEP_KINDS.keys() & value.keys()
        return f"step:{found.pop()}" if len(found) == 1 else None
    return f"step:{value.kind}" if isinstance(value, StepBase) else None


Step = Annotated[
    Annotated[ToolStep, Tag("step:tool")]
    | Annotated[AgentStep, Tag("step:agent")]
    | Annotated[GoalStep, Tag("step:goal")]
    | Annotated[GroupStep, Tag("step:steps")]
    | Annotated[ProcessStep, Tag("step:process")]
    | Annotated[ApprovalStep, Tag("step:approval")]
    | Annotated[EventStep, Tag("step:event")]
    | Annotated[WaitStep, Tag("step:wait")]
    | Annotated[StateStep, Tag("step:state")]
    | Annotated[EmitStep, Tag("step:emit")],
    Discriminator(step_kind),
]


class StateKey(Contract):
    """A key of the run's shared state: what it may hold, what it holds at first, what becomes of a late write."""

    schema_: Annotated[JsonSchema, Field(alias="schema")] = {}
    initial: Json = None
    on_conflict: OnConflict = "reject"


class Value(Contract):
    """What one run saves against doing it by hand."""

    manual_minutes: Annotated[float, Field(ge=0)]
    hourly_cost: Annotated[float, Field(ge=0)] = 0
    currency: str = "EUR"


class Saved(Contract):
    """What a run saves against doing it by hand; `money` in `currency`."""

    minutes: float
    money: float
    currency: str


class Process(Contract):
    """A whole process file."""

    process: Name
    version: Annotated[int, Field(ge=1)] = 1
    description: str = ""
    on: tuple[Trigger, ...] = ()
    input: JsonSchema = {}
    limits: Budget = Budget()
    state: dict[StepId, StateKey] = {}
    agents: dict[StepId, AgentSpec] = {}
    steps: Annotated[dict[StepId, Step], Field(min_length=1)]
    output: Json = None
    value: Value | None = None


GroupStep.model_rebuild()
