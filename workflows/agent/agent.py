"""An agent at work: what it was asked, its conversation, what it has used. What continue-as-new carries is here."""

from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import MAX_NOTE, MAX_NOTES, AgentRequest, AgentSnapshot, AgentView, Note
    from contracts.messages import Brief, OfferedTool
    from contracts.model import Usage
    from workflows.agent.conversation import Conversation


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
        self.status: Literal["running", "completed", "failed"] = "running"
        self.last = "starting"
        if snapshot:
            for message in snapshot.pending:
                self.conversation.add(message, stored=True)

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
        )

    def snapshot(self) -> AgentSnapshot:
        return AgentSnapshot(
            started=self.started,
            turns=tuple(self.conversation.turns),
            pending=tuple(self.conversation.pending),
            turn=self.turn,
            usage=self.usage,
            tool_calls=self.tool_calls,
            calls_by_content=self.calls_by_content,
            corrections=self.corrections,
            generation=self.generation + 1,
            notes=self.notes,
            noted=self.noted,
        )

    def note(self, kind: str, text: str) -> None:
        """Leave something for readers of the run to know. The last ones are kept, and how many there were."""
        self.notes = (*self.notes, Note(at=workflow.now(), kind=kind, text=text[:MAX_NOTE]))[-MAX_NOTES:]
        self.noted += 1

    def time_left(self) -> timedelta | None:
        time = self.request.limits.time
        return None if time is None else self.started + time - workflow.now()


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
        adapter=request.adapter,
    )
