"""An agent at work: what it was asked, its conversation, what it has used. What continue-as-new carries is here."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import (
        KEEPS_SINCE,
        MAX_NOTE,
        MAX_NOTES,
        RESERVES_SINCE,
        AgentRequest,
        AgentSnapshot,
        AgentView,
        Measured,
        Note,
        RepeatedCall,
        WindowGauge,
    )
    from contracts.asks import Answer, Ask
    from contracts.leases import Lease, LeaseAnswer
    from contracts.messages import Brief, OfferedTool
    from contracts.model import Usage
    from contracts.results import RESULT_READ
    from contracts.tools import ToolSpec
    from workflows.agent.conversation import Conversation
    from workflows.agent.others import Others
    from workflows.gauges import history


class Agent:
    """`allowed`: its limits as they stand, with what was added to them. `models`: what answers, when that changed.
    `lease`: what it may use of its goal's and its run's budgets so far; `lease_requests`: how often it asked
    for more."""

    def __init__(self, request: AgentRequest) -> None:
        snapshot = request.snapshot or _start()
        self.request = request
        self.conversation = Conversation(_brief(request), snapshot.turns)
        self.started: datetime = snapshot.started
        self.turn = snapshot.turn
        self.usage = snapshot.usage
        self.tool_calls = snapshot.tool_calls
        self.calls_by_content = dict(snapshot.calls_by_content)
        self.corrections = snapshot.corrections
        self.generation = snapshot.generation
        self.notes = snapshot.notes
        self.noted = snapshot.noted
        self.allowed = snapshot.allowed or request.limits
        self.models = snapshot.models
        self.lease: Lease | None = snapshot.lease or request.lease
        self.leases: dict[int, LeaseAnswer] = {}
        self.lease_requests = snapshot.lease_requests
        self.warned = frozenset(snapshot.warned)
        self.measured: Measured | None = snapshot.measured
        self.window: int | None = snapshot.window
        self.repeats: dict[str, RepeatedCall] = dict(snapshot.repeats)
        self.others = Others(snapshot.together)
        self.status: Literal["running", "completed", "failed"] = "running"
        self.last = "starting"
        self.parts = snapshot.parts
        self.tainted = request.tainted or snapshot.tainted
        self.asks: dict[str, Ask] = {}
        self.answers: dict[str, Answer] = {}
        self.waited = snapshot.waited
        self._waits_since = self.started
        for message in snapshot.pending:
            self.conversation.add(message, stored=False)
        if request.snapshot is None:
            for message in request.earlier:
                self.conversation.add(message, stored=False)

    @contextmanager
    def waiting_for(self, ask: Ask) -> Iterator[None]:
        """People are asked something. While they are asked anything, the time that passes is theirs."""
        if not self.asks:
            self._waits_since = workflow.now()
        self.asks[ask.id] = ask
        self.last = f"turn {self.turn}: waits for people: {ask.title}"
        try:
            yield
        finally:
            del self.asks[ask.id]
            if not self.asks:
                self.waited += workflow.now() - self._waits_since

    def taint(self, tool: str) -> None:
        """The conversation holds text from outside, for good: what is left out of it later has been read."""
        if not self.tainted:
            self.tainted = True
            self.note("tainted", f"{tool} gave text from outside")

    @property
    def tools(self) -> dict[str, ToolSpec]:
        """What it is granted, and with what it reads on in large results of that."""
        return _tools(self.request)

    def take_answer(self, answer: Answer) -> None:
        """What people said; of what is not asked any more, nothing is kept."""
        if answer.id in self.asks:
            self.answers[answer.id] = answer

    def view(self) -> AgentView:
        measured = self.measured
        return AgentView(
            run=self.request.run,
            step=self.request.step,
            agent=self.request.agent,
            status=self.status,
            turns=self.turn,
            tool_calls=self.tool_calls,
            usage=self.usage,
            last=self.last,
            notes=self.notes,
            noted=self.noted,
            children=self.others.children,
            window=WindowGauge(
                used=measured.input_tokens + measured.output_tokens if measured else 0, size=self.window
            ),
            history=history(),
            limits=self.allowed,
        )

    def snapshot(self) -> AgentSnapshot:
        return AgentSnapshot(
            started=self.started,
            turns=tuple(tuple(entry.message for entry in turn.entries) for turn in self.conversation.turns),
            pending=tuple(entry.message for entry in self.conversation.pending),
            turn=self.turn,
            usage=self.usage,
            tool_calls=self.tool_calls,
            calls_by_content=self.calls_by_content,
            corrections=self.corrections,
            generation=self.generation + 1,
            waited=self.waited,
            tainted=self.tainted,
            parts=self.parts,
            notes=self.notes,
            noted=self.noted,
            together=self.others.state(),
            allowed=self.allowed,
            models=self.models,
            lease=self.lease,
            lease_requests=self.lease_requests,
            warned=tuple(sorted(self.warned)),
            measured=self.measured,
            window=self.window,
            repeats=self.repeats,
        )

    def note(self, kind: str, text: str) -> None:
        """Leave something for readers of the run to know. The last ones are kept, and how many there were."""
        self.notes = (*self.notes, Note(at=workflow.now(), kind=kind, text=text[:MAX_NOTE]))[-MAX_NOTES:]
        self.noted += 1

    @property
    def reserves(self) -> bool:
        """Whether it goes by the rules of today. One that an older engine started keeps to those it began with."""
        return self.request.version >= RESERVES_SINCE

    @property
    def keeps_large_results(self) -> bool:
        """Of those who work for it, beside the conversation. See `reserves`."""
        return self.request.version >= KEEPS_SINCE

    def worked(self) -> timedelta:
        """How long it has been at work, without the time that people took."""
        return workflow.now() - self.started - self.waited

    def own_time_left(self) -> timedelta | None:
        time = self.allowed.time
        return None if time is None else time - self.worked()

    def time_left(self) -> timedelta | None:
        """Until its own time is over, or that of the goal or the run it works for."""
        until = self.lease.until if self.lease is not None else None
        lefts = (self.own_time_left(), None if until is None else until - workflow.now())
        return min((left for left in lefts if left is not None), default=None)


def _start() -> AgentSnapshot:
    return AgentSnapshot(
        started=workflow.now(),
        turns=(),
        pending=(),
        turn=0,
        usage=Usage(),
        tool_calls=0,
        calls_by_content={},
        corrections=0,
        generation=1,
    )


def _tools(request: AgentRequest) -> dict[str, ToolSpec]:
    return {**request.tools, RESULT_READ.name: RESULT_READ} if request.tools else {}


def _brief(request: AgentRequest) -> Brief:
    return Brief(
        process=request.process,
        agent=request.agent,
        instructions=request.instructions,
        task=request.task,
        context=request.context,
        models=request.models,
        tools=tuple(
            OfferedTool(name=spec.name, description=spec.description, parameters=spec.parameters)
            for spec in _tools(request).values()
        ),
        output=request.output,
        adapter=request.adapter,
    )
