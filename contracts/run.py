"""A run as it starts, as it stands (the view) and as it ends."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer
from pydantic_core import to_json

from contracts.agent import ChildRecord, HistoryGauge, Note
from contracts.asks import Ask
from contracts.ballot import ApprovalState, Claim, Comment, Delegation, Vote
from contracts.base import Contract, Json
from contracts.decisions import Actor, AgentChange, Reason, Receipt
from contracts.effects import Unaccepted, UndoCall
from contracts.errors import ErrorInfo
from contracts.events import Event
from contracts.incidents import Incident, Paused, Remark, Repaired, Tried
from contracts.model import Usage
from contracts.notices import SendNotice
from contracts.plans import PlanRecord, Revision
from contracts.process import Budget, Process, Saved
from contracts.record import RecordMark, RecordState
from contracts.state import StateEntry, StateValue
from contracts.tools import ToolSpec

RunStatus = Literal["running", "waiting", "attention", "completed", "failed", "undone", "cancelled"]
StepStatus = Literal[
    "pending", "running", "waiting", "attention", "completed", "skipped", "failed", "cancelled", "undoing", "undone"
]
SETTLED: frozenset[StepStatus] = frozenset({"completed", "skipped", "failed", "cancelled"})
"""Statuses that let what needs a step go on."""
IDLE: frozenset[StepStatus] = frozenset({"skipped", "cancelled"})
"""Statuses of steps that settled without having run to an end."""
ENDED: frozenset[RunStatus] = frozenset({"completed", "failed", "undone", "cancelled"})


class Definition(Contract):
    """A checked process with everything its runs need: every step's `needs` complete, the tools it names.

    `hash`: SHA-256 (hex) of process and tools. Defaults are left out of its JSON, which keeps large ones small.
    """

    process: Annotated[
        Process, PlainSerializer(lambda process: process.model_dump(mode="json", by_alias=True, exclude_unset=True))
    ]
    tools: dict[str, ToolSpec]
    hash: str


def definition_hash(definition: Mapping[str, Json]) -> str:
    """SHA-256 (hex) of process and tools of a definition as JSON."""
    tools = definition["tools"]
    return sha256(to_json([definition["process"], {name: tools[name] for name in sorted(tools)}])).hexdigest()


def is_altered(sent: Mapping[str, Json] | None) -> bool:
    """Whether a definition, as it was sent, was changed since it was compiled. It holds as it stands, which one of an
    older release must, or as it is read, which one must that another program wrote anew."""
    if sent is None or definition_hash(sent) == sent["hash"]:
        return False
    return definition_hash(Definition.model_validate(sent).model_dump(mode="json")) != str(sent["hash"])


class Rerun(Contract):
    """An ended run is started again from where it stood. `from`: a step that starts again, and all that needs it,
    though it had completed. `redo`: effects that were not taken back may be made once more."""

    of: str = Field(description="the run that ended")
    by: Actor
    reason: Reason = ""
    from_: Annotated[str | None, Field(alias="from")] = None
    redo: bool = False


class RunRequest(Contract):
    """The input of workflow `Process`. `process` and `input` are enough: the definition is then loaded by name. With
    `rerun`, which the run of the number after that of the ended one has, all is loaded from the ended one."""

    process: str
    input: Json = None
    tainted: bool = Field(default=False, description="whether the input may hold text from outside")
    started_by: Actor | None = None
    priority: Annotated[int, Field(ge=1, le=5)] | None = None
    granted: Budget = Field(default=Budget(), description="what an agent gives the run out of what it has left")
    definition: Definition | None = None
    rerun: Rerun | None = None
    origin: str | None = Field(default=None, description="the first run of a chain of reruns; keys of effects are its")
    number: int = Field(default=1, description="place in that chain")
    snapshot: "Snapshot | None" = Field(default=None, description="set by continue-as-new only")


class StepRecord(Contract):
    """One step of a run, or one item of a `for_each` (`train[0]`): the source of every view of it."""

    id: str
    kind: str
    status: StepStatus = "pending"
    input: Json = None
    output: Json = None
    error: ErrorInfo | None = None
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    usage: Usage | None = None
    child: str | None = Field(default=None, description="workflow id of the agent or sub-process")
    by: str | None = Field(default=None, description="who decided, or repaired")
    tries: int = Field(default=0, description="how often it was started afresh, by repair")
    amended: int = Field(default=0, description="how often its arguments were replaced, by repair")
    amended_by: str | None = Field(default=None, description="who replaced them last")
    order: int | None = Field(default=None, description="place in the order of completion")
    undo: tuple[UndoCall, ...] = Field(default=(), description="how to take back its sub-processes, first one first")
    unaccepted: tuple[Unaccepted, ...] = Field(default=(), description="effects of which the output was not accepted")
    approval: ApprovalState | None = None
    until: datetime | None = Field(default=None, description="when a wait, an approval's expiry, is due")
    rounds: int = Field(default=0, description="of a repeat that have begun")
    called: bool = Field(default=False, description="a fallback that stands in for a step that failed")
    event: Event | None = Field(default=None, description="what an event step waited for")
    subscribed: int = Field(default=0, description="the amendment of what it waits for that its topic knows of")
    plan: PlanRecord | None = Field(default=None, description="of a goal")
    asked: int = Field(default=0, description="how often its agents asked people")
    tainted: bool = Field(default=False, description="whether its output may hold text from outside")
    ask: Ask | None = Field(default=None, description="what an agent asks; `ID/ask-N` inside the agent's step")
    notes: tuple[Note, ...] = Field(default=(), description="what its agent left to know, the last ones")
    children: tuple[ChildRecord, ...] = Field(default=(), description="who worked for its agent, the last ones")
    tried: tuple[Tried, ...] = Field(default=(), description="what it came to each time it stopped for an operator")
    repaired: Repaired | None = Field(default=None, description="what an operator did about it last")
    agent: AgentChange | None = Field(default=None, description="what an operator changed for its agent")
    fallback: str | None = Field(default=None, description="the step that an operator has stand in for it")

    redone: int = Field(default=0, description="how often a rerun had its effect made anew, since it was taken back")
    resumes: str | None = Field(default=None, description="the sub-process that is to go on, after a rerun")
    stands: tuple[str, ...] = Field(
        default=(), description="what its sub-processes did and would do once more, each as `step (tool)`"
    )

    def effect(self, origin: str) -> str:
        """What its effect is known by: the first run of the chain, and the step; once more when it was taken back."""
        return f"{origin}/{self.id}" + (f"^{self.redone}" if self.redone else "")

    def key(self, origin: str) -> str:
        """The idempotency key of its effect: other arguments are another effect, so an amended call has its own."""
        return self.effect(origin) + (f"~{self.amended}" if self.amended else "")


class Snapshot(Contract):
    """What continue-as-new carries over: every step that is no longer pending, and what the run has seen."""

    started: datetime
    accepted: datetime | None = Field(default=None, description="when the server took the run: no worker may have then")
    records: tuple[StepRecord, ...]
    completions: int
    seen: dict[str, Receipt | StateValue] = Field(default={}, description="answers to what people said, by its id")
    said: dict[str, str] = Field(default={}, description="SHA-256 of what they said, by its id")
    state: dict[str, StateEntry] = {}
    generation: int = 1
    warned: tuple[str, ...] = Field(default=(), description="budgets and limits whose warning was given")
    record: RecordState = RecordState()
    undoing: bool = Field(default=False, description="whether it was stopped while its effects were taken back")
    notices: tuple[SendNotice, ...] = Field(default=(), description="that were not delivered yet")
    paused: Paused | None = None
    remarks: tuple[Remark, ...] = ()
    refused: tuple[str, ...] = Field(default=(), description="the last signals that did not hold, and why")


class StageView(Contract):
    """A stage of an approval: who is asked, as written, how many must approve, and who has."""

    who: tuple[str, ...]
    needed: int
    approved: tuple[str, ...] = ()
    status: Literal["done", "open", "later"]


class Waiting(Contract):
    """Something a run waits for people or time to do.

    `people`: those whose approval would count now. `deputies`: who may decide in whose place now. `claims`: who keeps
    the decision for themselves. `barred`: who may not decide.
    """

    step: str
    kind: Literal["approval", "event", "wait"]
    title: str
    since: datetime
    until: datetime | None = None
    who: tuple[str, ...] = Field(default=(), description="users and groups who are asked, as written")
    people: tuple[str, ...] = ()
    needed: int = 0
    votes: tuple[Vote, ...] = ()
    stages: tuple[StageView, ...] = ()
    claims: tuple[Claim, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    deputies: dict[str, tuple[str, ...]] = {}
    comments: tuple[Comment, ...] = ()
    barred: tuple[str, ...] = ()
    remind: datetime | None = Field(default=None, description="when those who are asked are reminded next")
    escalate: datetime | None = Field(default=None, description="when others are brought in")
    reminded: int = 0
    show: dict[str, Json] = {}
    edits: Json = Field(default=None, description="what it is about instead, since somebody edited it")
    hash: str | None = None
    subject: Json = Field(default=None, description="what is decided on besides `show`; on the page of its step alone")


class StepView(Contract):
    """A step as the view shows it. `child`: the workflow id of its agent or sub-process; `by`: who decided."""

    id: str
    kind: str
    title: str = Field(description="what it does, for a reader: `hris.create_employee`, the approval's question")
    status: StepStatus
    output: Json = None
    error: ErrorInfo | None = None
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    needs: tuple[str, ...] = ()
    cost: float = 0.0
    tokens: int = 0
    child: str | None = None
    by: str | None = None
    plan: tuple[Revision, ...] = Field(default=(), description="of a goal: its plan and each change of it")
    order: int | None = Field(default=None, description="place in the order of completion")
    undo: tuple[UndoCall, ...] = Field(default=(), description="what an abort would call to take this step back")
    notes: tuple[Note, ...] = Field(default=(), description="warnings and events on its agent's way")
    children: tuple[ChildRecord, ...] = Field(default=(), description="agents and processes that worked for its agent")


class Cost(Contract):
    """What a run's model calls used and cost, in US dollars. `rehearsal`: answered, all or in part, by a script."""

    amount: float = 0.0
    currency: Literal["USD"] = "USD"
    calls: int = 0
    tokens: int = 0
    unpriced: int = 0
    rehearsal: bool = False

    @classmethod
    def of(cls, usage: Usage) -> "Cost":
        return cls(
            amount=usage.cost,
            calls=usage.calls,
            tokens=usage.tokens,
            unpriced=usage.unpriced,
            rehearsal=usage.rehearsed > 0,
        )


class Page(Contract):
    """The argument of query `view`, which may be left out: some of the steps, or one alone with its whole output and
    all that it shows to those who decide. `person`: only those approvals that this one's decision would count for."""

    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    step: str | None = None
    person: str | None = None
    incidents: Annotated[int, Field(ge=0)] = Field(default=0, description="open incidents to pass over")


class RunView(Contract):
    """The run as JSON: query `view`, `starter.py status --json`, and every page.

    A value too large for its page is `{"left_out": "N bytes"}`; a view of that step alone has it.
    """

    run: str
    process: str
    version: int
    description: str = ""
    status: RunStatus
    input: Json = None
    output: Json = None
    error: ErrorInfo | None = None
    cost: Cost
    saved: Saved | None = None
    started: datetime
    ended: datetime | None = None
    started_by: str | None = None
    rerun_of: str | None = Field(default=None, description="the ended run that this one goes on with")
    steps: tuple[StepView, ...]
    next: int | None = Field(default=None, description="offset of the next page, when there are more steps")
    waiting: tuple[Waiting, ...] = ()
    incidents: tuple[Incident, ...] = ()
    incidents_in_all: int = Field(default=0, description="open ones; a page has 200 at most")
    paused: Paused | None = None
    remarks: tuple[Remark, ...] = Field(default=(), description="the last notes that people left")
    state: dict[str, StateEntry] = {}
    refused: tuple[str, ...] = Field(default=(), description="the last signals that did not hold, and why")
    history: HistoryGauge | None = None
    record: RecordMark | None = Field(default=None, description="how far the run's record goes")


class RunResult(Contract):
    """The result of workflow `Process`. `undo`: how a parent takes this run's effects back, first one first. `stands`:
    those that nobody can take back, each as `step (tool)`."""

    status: RunStatus
    output: Json = None
    cost: Cost
    usage: Usage
    undo: tuple[UndoCall, ...] = ()
    stands: tuple[str, ...] = ()
    tainted: bool = Field(default=False, description="whether the output may hold text from outside")
    record: RecordMark | None = Field(default=None, description="how far its record goes")
