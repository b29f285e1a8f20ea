"""What a run measures: a projection of the events of its record, which happen once however often they are replayed."""

import threading
from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts import metrics
    from contracts.base import Json
    from contracts.record import END_KINDS, EventKind
    from contracts.run import StepRecord

REMEMBERED = 10_000
"""Executions of which a worker knows what it has measured, the last ones that measured anything."""

_ENDS = {kind: status for status, kind in END_KINDS.items()}


class Measuring:
    """How often each thing happened in one execution of a run. Its worker adds what it has not yet added.

    Not all that is gone through twice is a replay: a workflow task may fail and be done again, and the query of a run
    that was evicted sees events before the workflow task for them does.
    """

    def __init__(self, process: str) -> None:
        self._process = process
        self._counts: Counts[Hashable] = Counts()

    def event(self, kind: EventKind, data: Mapping[str, Json]) -> None:
        """Something happened in the run."""
        if kind == "run.started":
            self._count(metrics.RUNS_STARTED)
        elif kind in _ENDS:
            self._count(metrics.RUNS, status=_ENDS[kind])
        elif kind in ("step.repaired", "step.amended"):
            self._count(metrics.REPAIRS, action=str(data["action"]))
        elif kind.startswith("approval."):
            self._count(metrics.APPROVALS, event=kind.partition(".")[2])

    def step(self, after: StepRecord) -> None:
        """A step came to another status."""
        self._count(metrics.STEPS, kind=after.kind, status=after.status)
        if after.status == "attention":
            self._count(metrics.INCIDENTS, error=after.error.type if after.error else "")

    def decided(self, outcome: str, waited: timedelta) -> None:
        """People, or time in their place, decided."""
        labels = {"process": self._process, "outcome": outcome}
        if self._is_new(metrics.WAIT, labels):
            metrics.WAIT.record(workflow.metric_meter(), waited, **labels)

    def undone(self, tool: str, outcome: str) -> None:
        """A call to take an effect back ended: it is `done`, or `failed`."""
        labels = {"tool": tool, "outcome": outcome}
        if self._is_new(metrics.UNDO, labels):
            metrics.UNDO.add(workflow.metric_meter(), 1, **labels)

    def _count(self, metric: metrics.Counter, **more: str) -> None:
        labels = {"process": self._process, **more}
        if self._is_new(metric, labels):
            metric.add(workflow.metric_meter(), 1, **labels)

    def _is_new(self, metric: metrics.Metric, labels: Mapping[str, str]) -> bool:
        what = (metric.name, *labels.values())
        self._counts[what] += 1
        return not workflow.unsafe.is_replaying() and _MEASURED.add(workflow.info().run_id, what, self._counts[what])


class _Measured:
    """What this worker has measured, by execution: how often each thing happened in it."""

    def __init__(self) -> None:
        self._executions: OrderedDict[str, dict[Hashable, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, execution: str, what: Hashable, number: int) -> bool:
        """Whether that it happened for this time was not measured yet. From now on it is."""
        with self._lock:
            known = self._executions.setdefault(execution, {})
            self._executions.move_to_end(execution)
            if len(self._executions) > REMEMBERED:
                self._executions.popitem(last=False)
            if number <= known.get(what, 0):
                return False
            known[what] = number
            return True


_MEASURED = _Measured()
