"""An agent's part of a run: what it is given, what it answers, how it stands."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from contracts.adapters import Adapter
from contracts.approval import CallApproval
from contracts.base import Contract, Json
from contracts.effects import UndoCall
from contracts.grants import Grant
from contracts.leases import Lease
from contracts.messages import Message
from contracts.model import Usage
from contracts.process import AgentSpec, Compaction, Debate, Limits
from contracts.tools import ToolSpec

MAX_NOTES = 50
"""Notes of one agent, and of one step, that are kept; the last ones."""
MAX_CHILDREN = 50
"""Of one agent, and of one step, that are shown; the last ones."""
MAX_NOTE = 500
"""Characters of a note."""


class Note(Contract):
    """Something that happened on the way and is no failure: what a reader of the run should know."""

    at: datetime
    kind: Annotated[str, Field(description="warning, limit, repeat, compaction, fallback, refused, handover, ...")]
    text: str


class ChildRecord(Contract):
    """An agent or a process that works, or worked, for an agent. `id`: its workflow; `tool`: the call it came by."""

    id: str
    tool: str
    status: Literal["running", "completed", "failed"] = "running"
    started: datetime
    ended: datetime | None = None
    usage: Usage = Usage()
    error: str = ""


def _without_defaults(agents: dict[str, AgentSpec]) -> dict[str, Json]:
    return {name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in agents.items()}


class Team(Contract):
    """What an agent has to know of the agents that may come to work for it, or in its place, and of their tools."""

    agents: Annotated[dict[str, AgentSpec], PlainSerializer(_without_defaults)] = {}
    tools: dict[str, ToolSpec] = {}


class AgentRequest(Contract):
    """The input of workflow `Agent`. `output`: JSON Schema of the answer; None means text. `earlier`: what was said
    before, after the task. `handovers`: by which the task came to this agent."""

    run: str
    step: str
    process: str
    agent: str
    instructions: str
    models: tuple[str, ...]
    task: str
    context: Json = None
    output: dict[str, Any] | None = None
    tools: dict[str, ToolSpec] = {}
    limits: Limits = Limits()
    team: Team = Team()
    debate: Debate | None = None
    earlier: tuple[Message, ...] = ()
    handovers: int = 0
    started_by: str | None = Field(default=None, description="who started the run")
    grants: tuple[Grant, ...] = ()
    approve: tuple[CallApproval, ...] = ()
    tainted: bool = Field(default=False, description="whether task or context hold what came from outside")
    compaction: Compaction = Compaction()
    lease: Lease | None = Field(default=None, description="of the goal's and the run's budgets, where there are any")
    priority: int | None = None
    adapter: Adapter | None = None
    version: int = Field(
        default=1, description="of the workflow's rules; one started by an older engine keeps to its own"
    )
    snapshot: "AgentSnapshot | None" = Field(default=None, description="set by continue-as-new only")


class TogetherState(Contract):
    """An agent's work with others so far. `undo`: how what processes did for it is taken back, first call first;
    `stands`: what of that nobody can, each as `step (tool)`. `peers`: what each was asked and answered."""

    undo: tuple[UndoCall, ...] = ()
    stands: tuple[str, ...] = ()
    children: tuple[ChildRecord, ...] = ()
    peers: dict[str, tuple[Message, ...]] = {}


RESERVES_SINCE = 2
KEEPS_SINCE = 3
AGENT_VERSION = 3
"""1: limits are looked at after each call. 2: they are reserved before it; repeats and full windows are noticed.
3: what others give for it is shown in part when it is large."""


class Measured(Contract):
    """The last model call: the bytes of conversation it was sent, the tokens that the model counted."""

    size: int
    input_tokens: int
    output_tokens: int


class RepeatedCall(Contract):
    """A call that had the same result every time so far, by their digests. `told`: the model knows."""

    result: str
    times: int = 1
    told: bool = False


class WindowGauge(Contract):
    """Of the model's window, in tokens: what the last call filled, and how much there is, where that is known."""

    used: int = 0
    size: int | None = None


class HistoryGauge(Contract):
    """A workflow's history so far, and whether the server suggests to continue as new."""

    events: int
    bytes: int
    suggested: bool


class AgentSnapshot(Contract):
    """What continue-as-new carries over: the whole conversation, as the turns that made it, and what is used up.

    `allowed`: its limits as they stand, with what was added to them. `models`: what answers, when that has changed.
    """

    started: datetime
    turns: tuple[tuple[Message, ...], ...]
    pending: tuple[Message, ...]
    turn: int
    usage: Usage
    tool_calls: int
    calls_by_content: dict[str, int]
    corrections: int
    generation: int
    waited: Annotated[timedelta, Field(description="for people, which its limit of time leaves out")] = timedelta(0)
    notes: tuple[Note, ...] = ()
    noted: int = 0
    together: TogetherState = TogetherState()
    tainted: bool = False
    parts: tuple[str, ...] = Field(default=(), description="digests of its large results")
    allowed: Limits | None = None
    models: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    measured: Measured | None = None
    window: int | None = None
    repeats: dict[str, RepeatedCall] = {}
    lease: Lease | None = None
    lease_requests: int = 0


class AgentResult(Contract):
    """The result of workflow `Agent`: an answer that fits its schema (text when there is none). `undo`: how what
    processes did for it is taken back, first call first; `stands`: what of that nobody can, each as `step (tool)`."""

    output: Json
    usage: Usage
    turns: int
    tool_calls: int
    notes: tuple[Note, ...] = ()
    undo: tuple[UndoCall, ...] = ()
    stands: tuple[str, ...] = ()
    children: tuple[ChildRecord, ...] = ()
    tainted: bool = Field(default=False, description="whether it may hold what came from outside")
    waited: Annotated[timedelta, Field(description="for people")] = timedelta(0)


class AgentFailure(Contract):
    """The details of the error with which workflow `Agent` fails. `detail`: of the StepError itself."""

    usage: Usage = Usage()
    turns: int = 0
    detail: Json = None
    notes: tuple[Note, ...] = ()
    undo: tuple[UndoCall, ...] = ()
    stands: tuple[str, ...] = ()
    children: tuple[ChildRecord, ...] = ()
    tainted: bool = Field(default=False, description="whether it may hold what came from outside")
    waited: Annotated[timedelta, Field(description="for people")] = timedelta(0)


class AgentView(Contract):
    """Query `view` of workflow `Agent`."""

    run: str
    step: str
    agent: str
    status: Literal["running", "completed", "failed"]
    turns: int
    tool_calls: int
    usage: Usage
    last: str = Field(default="", description="what it is doing, or did last")
    notes: tuple[Note, ...] = Field(default=(), description="the last ones")
    noted: int = Field(default=0, description="how many there were in all")
    children: tuple[ChildRecord, ...] = Field(default=(), description="agents and processes that work for it")
    window: WindowGauge = WindowGauge()
    history: HistoryGauge | None = None
    limits: Limits = Limits()
