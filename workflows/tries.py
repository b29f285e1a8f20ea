"""What a step was tried with no success, each time it stopped for an operator."""

from datetime import datetime

from contracts.errors import ErrorInfo
from contracts.incidents import Tried
from contracts.plain import short
from workflows.nodes import Node


def tried(node: Node, error: ErrorInfo, now: datetime) -> Tried:
    """The tries since the step, or taking it back, was started or started afresh."""
    record = node.record
    before = record.tried[-1] if record.tried else None
    if node.is_taken_back:
        times = error.detail.get("attempts", 1) if isinstance(error.detail, dict) else 0
        since = now if before is None else before.until
    else:
        times = max(0, record.attempts - (before.attempts if before is not None else 0))
        since = record.started or now
    said = short(f"{error.type}: {error.message}")
    return Tried(since=since, until=now, times=times, attempts=record.attempts, error=said)
