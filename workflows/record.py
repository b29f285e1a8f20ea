"""A run's record while it runs: the one place where its events are made, numbered and chained."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic_core import to_jsonable_python

    from contracts.base import Json
    from contracts.record import ENGINE as BY_ITSELF
    from contracts.record import EventKind, RecordState, RunEvent, bounded, hash_of
    from contracts.run import StepRecord, StepStatus

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


class Record:
    """Events in the order in which they happened. `pending`: those that are not known to be written."""

    def __init__(self, run: str, state: RecordState) -> None:
        self._run = run
        self._count = state.count
        self._head = state.head
        self.pending = list(state.pending)

    def add(
        self, kind: EventKind, *, by: str = BY_ITSELF, step: str | None = None, reason: str = "", **data: Json
    ) -> None:
        """Something happened now. `data` is what a reader needs to know of it, as JSON."""
        self._count += 1
        event = RunEvent(
            run=self._run,
            number=self._count,
            at=workflow.now(),
            kind=kind,
            by=by,
            step=step,
            reason=reason,
            data={name: bounded(to_jsonable_python(value)) for name, value in data.items()},
            previous=self._head,
            hash="",
        )
        event = event.model_copy(update={"hash": hash_of(event)})
        self._head = event.hash
        self.pending.append(event)

    def step_changed(self, before: StepRecord | None, after: StepRecord) -> None:
        """A step came to another status."""
        if (kind := _STEP_KINDS.get(after.status)) is not None:
            by = after.by if after.by is not None and (before is None or before.by != after.by) else BY_ITSELF
            reason = after.error.message if after.error else ""
            self.add(kind, by=by, step=after.id, reason=reason)

    def state(self) -> RecordState:
        """What continue-as-new carries over."""
        return RecordState(count=self._count, head=self._head, pending=tuple(self.pending))
