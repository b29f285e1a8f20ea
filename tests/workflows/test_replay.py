"""Histories of every workflow and path, recorded once, replay on the code of today; a change of order is noticed."""

import re
from pathlib import Path
from typing import get_args

import pytest
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.workflow import _Definition

from cli.replay import read_history, replayed
from contracts.activities import WRITE_RECORD
from contracts.record import EventKind
from runtime.client import data_converter
from runtime.settings import Settings
from workflows.engine import Engine
from workflows.nodes import Scope
from workflows.registered import WORKFLOWS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "histories"
FILES = sorted(FOLDER.rglob("*.json"))
CONVERTER = data_converter(Settings())


def test_every_workflow_has_a_history() -> None:
    started = [read_history(file).events[0].workflow_execution_started_event_attributes for file in FILES]
    assert {each.workflow_type.name for each in started} == {
        _Definition.must_from_class(each).name for each in WORKFLOWS
    }


def test_everything_that_can_happen_to_a_run_has_happened_in_a_history() -> None:
    events = [event for file in FILES for event in read_history(file).events]
    asked = [event.activity_task_scheduled_event_attributes for event in events]
    written = b"".join(
        payload.data
        for each in asked
        if each.activity_type.name == WRITE_RECORD.name
        for payload in each.input.payloads
    )
    assert [kind for kind in get_args(EventKind) if f'"kind":"{kind}"'.encode() not in written] == []


def test_every_released_version_has_its_histories() -> None:
    """Those of the version that is being made lie in the folder itself, and move into one of its name with it."""
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert [version for version in released if not list((FOLDER / version).glob("*.json"))] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
async def test_a_recorded_history_replays(file: Path) -> None:
    assert (await replayed(read_history(file), file.name, CONVERTER)).problem is None


async def test_steps_started_in_another_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Engine.begin

    def backwards(self: Engine, scope: Scope) -> None:
        scope.nodes = dict(reversed(scope.nodes.items()))
        begin(self, scope)

    monkeypatch.setattr(Engine, "begin", backwards)
    # The sandbox would import the engine anew, without the change.
    runner = UnsandboxedWorkflowRunner()
    file = FOLDER / "onboarding-approved.json"
    found = await replayed(read_history(file), file.name, CONVERTER, runner)
    assert found.diverges
    assert "activity" in str(found.problem).lower()
