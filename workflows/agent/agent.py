"""An agent at work: what it was asked, its conversation, what it has used. What continue-as-new carries is here."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import MAX_NOTE, MAX_NOTES, AgentRequest, AgentSnapshot, AgentView, Note, TogetherState
    from contracts.asks import Answer, Ask
    from contracts.messages import Brief, OfferedTool
    from contracts.model import Usage
    from workflows.agent.conversation import Conversation
    from workflows.agent.others import Others


class Agent:
    def __init__(self, request: AgentRequest) -> None:
        snapshot = request.snapshot
        self.request = request
        self.conversation = Conversation(_brief(request), snapshot.turns if snapshot else ())
        self.started: datetime = snapshot.started if snapshot else workflow.now()
        self.turn = snapshot.turn if snapshot else 0
        self.usage = snapshot.usage if snapshot else Usage()
        self.tool_calls = snapshot.tool_calls if snapshot else 0
        self.calls_by_content = dict(snapshot.calls_by_content) if snapshot else {}
        self.corrections = snapshot.corrections if snapshot else 0
        self.generation = snapshot.generation if snapshot else 1
        self.notes = snapshot.notes if snapshot else ()
        self.noted = snapshot.noted if snapshot else 0
        self.others = Others(snapshot.together if snapshot else TogetherState())
        self.status: Literal["running", "completed", "failed"] = "running"
        self.last = "starting"
        self.asks: dict[str, Ask] = {}
        self.answers: dict[str, Answer] = {}
        self.waited = snapshot.waited if snapshot else timedelta(0)
        self._waits_since = self.started
        if snapshot:
            for message in snapshot.pending:
                self.conversation.add(message, stored=False)
        else:
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

    def take_answer(self, answer: Answer) -> None:
        """What people said; of what is not asked any more, nothing is kept."""
        if answer.id in self.asks:
            self.answers[answer.id] = answer

    def view(self) -> AgentView:
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
            notes=self.notes,
            noted=self.noted,
            together=self.others.state(),
        )

    def note(self, kind: str, text: str) -> None:
        """Leave something for readers of the run to know. The last ones are kept, and how many there were."""
        self.notes = (*self.notes, Note(at=workflow.now(), kind=kind, text=text[:MAX_NOTE]))[-MAX_NOTES:]
        self.noted += 1

    def time_left(self) -> timedelta | None:
        time = self.request.limits.time
        return None if time is None else self.started + time + self.waited - workflow.now()


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
            for spec in request.tools.values()
        ),
        output=request.output,
    )
