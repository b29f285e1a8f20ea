"""A run's record while it runs: the one place where its events are made, numbered and chained."""

from collections.abc import Callable
from typing import get_args

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.plain import short
    from contracts.plans import Revision
    from contracts.record import ENGINE as BY_ITSELF
    from contracts.record import (
        EventKind,
        Happening,
        RecordMark,
        RecordState,
        RecordTail,
        WriteRecord,
        bounded,
        chained,
        digest,
        link,
    )
    from contracts.run import SETTLED, StepRecord, StepStatus
    from contracts.state import StateValue
    from workflows.measuring import Measuring

BATCH = 300
"""Events in one write. As many as that are at most 64 kB of most runs, from where a payload is kept outside."""

_STEP_KINDS: dict[StepStatus, EventKind] = {
    "running": "step.running",
    "waiting": "step.waiting",
    "attention": "step.attention",
    "completed": "step.completed",
    "skipped": "step.skipped",
    "failed": "step.failed",
    "cancelled": "step.cancelled",
    "undoing": "step.undoing",
    "undone": "step.undone",
}
_URGENT = frozenset(
    kind
    for kind in get_args(EventKind)
    if kind.startswith(("approval.", "run."))
    or kind in ("step.waiting", "step.attention", "step.repaired", "step.amended")
) - {"run.started"}
"""Kinds that people look for, or have done: they are written at once. Others are written with them, or at the end."""
_WITH_REASON: frozenset[StepStatus] = frozenset({"attention", "skipped", "failed", "cancelled"})
"""Of other statuses, a step's error is an earlier one."""


class Record:
    """Events in the order in which they happened. A write takes those that are not known to be written, in batches."""

    def __init__(self, run: str, execution: str, process: str, state: RecordState, origin: str) -> None:
        self._run = run
        self._origin = origin
        self._execution = execution
        self._process = process
        self._written = RecordMark(events=state.written, head=state.head)
        self._pending = list(state.pending)
        self._heads: list[str] = []
        self._urgent = self._events
        self.measuring = Measuring(process)
        self.is_undoing = False
        """Whether the run's effects are being taken back: a step that settles now is left as it was."""
        self.is_complete = False
        """Whether the last event was made."""

    def add(
        self, kind: EventKind, *, by: str = BY_ITSELF, step: str | None = None, reason: str = "", **data: Json
    ) -> None:
        """Something happened now. `data` is what a reader needs to know of it, as JSON. A run that has ended does
        nothing more."""
        if self.is_complete:
            return
        happening = Happening(
            at=workflow.now(),
            kind=kind,
            by=by,
            step=step,
            reason=short(reason),
            data={name: bounded(value) for name, value in data.items()},
        )
        self._pending.append(happening)
        self.measuring.event(kind, data)
        if kind in _URGENT:
            self._urgent = self._events

    def step_changed(self, before: StepRecord | None, after: StepRecord, ordered_by: str | None) -> None:
        """A step came to another status. `ordered_by`: whoever had that done; `after.by` may be of an earlier one."""
        if (kind := _STEP_KINDS.get(after.status)) is None:
            return
        by = ordered_by or BY_ITSELF
        if self.is_undoing and after.status in SETTLED:
            was_undoing = before is not None and before.status == "undoing"
            left = "there was nothing to take back" if was_undoing else "its effect was left as it is"
            self.add("step.kept", by=by, step=after.id, reason=left)
            return
        reason = after.error.message if after.error and after.status in _WITH_REASON else ""
        self.measuring.step(after)
        self.add(kind, by=by, step=after.id, reason=reason, **_facts(self._origin, after))

    def plan_changed(self, step: str, revision: Revision) -> None:
        """A goal has a plan, or another one."""
        changes = revision.model_dump(mode="json", exclude_defaults=True, exclude={"at", "by", "reason"})
        kind: EventKind = "plan.made" if revision.number == 1 else "plan.changed"
        self.add(kind, by=revision.by, step=step, reason=revision.reason, **changes)

    def state_written(self, value: StateValue, operation: str, by: str) -> None:
        """A key of the shared state was written."""
        held = digest(value.value)
        self.add("state.written", by=by, key=value.key, version=value.version, operation=operation, value=held)

    def has_pending(self, holds: Callable[[str], object]) -> bool:
        """Whether an event of a kind of which this holds is not known to be written."""
        return any(holds(happening.kind) for happening in self._pending)

    @property
    def mark(self) -> RecordMark:
        """How far it goes."""
        return RecordMark(events=self._events, head=self._head(len(self._pending)))

    @property
    def is_written(self) -> bool:
        return not self._pending

    @property
    def is_due(self) -> bool:
        """Whether something is to be written now: it is urgent, it is much, or it is all there will be."""
        pending = len(self._pending)
        return pending > 0 and (self._urgent > self._written.events or pending >= BATCH or self.is_complete)

    def batch(self) -> WriteRecord:
        """The first events that are not known to be written."""
        return self._request(self._pending[:BATCH])

    def was_written(self, events: int, head: str | None) -> None:
        """The first so many of those that were not known to be, the last of them with this hash.

        The chain goes on from there: a worker that replays a run may be given another time for what happened than the
        one that it was written with, and so would make another hash of it.
        """
        self._written = RecordMark(events=self._written.events + events, head=head or self._head(events))
        del self._pending[:events]
        self._heads.clear()

    def tail(self) -> RecordTail:
        """What is not known to be written."""
        pending = tuple(chained(self._request(self._pending)))
        return RecordTail(mark=self.mark, execution=self._execution, pending=pending)

    def state(self) -> RecordState:
        """What continue-as-new carries over."""
        return RecordState(written=self._written.events, head=self._written.head, pending=tuple(self._pending))

    @property
    def _events(self) -> int:
        return self._written.events + len(self._pending)

    def _head(self, pending: int) -> str:
        """The hash of the last of the first so many that are not known to be written. Made when it is asked for, which
        nobody does of most: whoever writes them makes it, too."""
        while len(self._heads) < pending:
            done = len(self._heads)
            previous = self._heads[-1] if self._heads else self._written.head
            number = self._written.events + done + 1
            self._heads.append(link(self._pending[done], self._run, self._execution, number, previous)[1])
        return self._heads[pending - 1] if pending else self._written.head

    def _request(self, pending: list[Happening]) -> WriteRecord:
        return WriteRecord(
            run=self._run,
            execution=self._execution,
            process=self._process,
            after=self._written.events,
            previous=self._written.head,
            events=tuple(pending),
        )


def _facts(origin: str, record: StepRecord) -> dict[str, Json]:
    """What identifies what a step did: digests, keys, who worked for it, what that took."""
    facts: dict[str, Json] = {}
    if record.status == "waiting" and record.until is not None:
        facts["until"] = record.until
    if record.status not in ("completed", "failed", "attention"):
        return facts
    if record.output is not None:
        facts["output"] = digest(record.output)
    if record.error is not None:
        facts["error"] = record.error.type
    if record.kind == "tool" and record.attempts:
        facts["key"] = record.key(origin)
    if record.attempts > 1:
        facts["attempts"] = record.attempts
    if record.child is not None:
        facts["child"] = record.child
    if record.usage is not None and record.usage.tokens:
        facts["cost"] = record.usage.cost
        facts["tokens"] = record.usage.tokens
    return facts
