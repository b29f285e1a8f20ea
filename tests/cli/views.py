"""Views of runs to draw."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.run import Cost, RunView, StepView

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=75)


def step(step_id: str, status: str = "completed", **more: Any) -> StepView:
    ended = START + timedelta(seconds=2) if status in ("completed", "failed") else None
    started = None if status in ("pending", "skipped") else START
    values = {"id": step_id, "kind": "tool", "title": f"do {step_id}", "status": status}
    return StepView.model_validate({**values, "started": started, "ended": ended, **more})


def view(*steps: StepView, status: str = "running", **more: Any) -> RunView:
    values = {"run": "onboarding-7", "process": "onboarding", "version": 1, "status": status, "cost": Cost()}
    return RunView.model_validate({**values, "started": START, "steps": steps, **more})
