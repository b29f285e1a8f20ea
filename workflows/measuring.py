"""What a run measures: a projection of the events of its record, which happen once however often they are replayed."""

from collections.abc import Mapping
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts import metrics
    from contracts.base import Json
    from contracts.record import END_KINDS, EventKind
    from contracts.run import StepRecord

_ENDS = {kind: status for status, kind in END_KINDS.items()}


def event(process: str, kind: EventKind, data: Mapping[str, Json]) -> None:
    """Something happened in a run of the process."""
    meter = workflow.metric_meter()
    if kind == "run.started":
        metrics.RUNS_STARTED.add(meter, process=process)
    elif kind in _ENDS:
        metrics.RUNS.add(meter, process=process, status=_ENDS[kind])
    elif kind in ("step.repaired", "step.amended"):
        metrics.REPAIRS.add(meter, process=process, action=str(data["action"]))
    elif kind.startswith("approval."):
        metrics.APPROVALS.add(meter, process=process, event=kind.partition(".")[2])


def step(process: str, after: StepRecord) -> None:
    """A step came to another status."""
    meter = workflow.metric_meter()
    metrics.STEPS.add(meter, process=process, kind=after.kind, status=after.status)
    if after.status == "attention":
        metrics.INCIDENTS.add(meter, process=process, error=after.error.type if after.error else "")


def decided(process: str, outcome: str, waited: timedelta) -> None:
    """People, or time in their place, decided."""
    metrics.WAIT.record(workflow.metric_meter(), waited, process=process, outcome=outcome)
