"""Histories of every workflow and path, recorded once, replay on the code of today; a change of order is noticed."""

import ast
import json
import re
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from shutil import copy, copytree
from subprocess import run
from typing import get_args

import coverage
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.workflow import _Definition

from cli.replay import read_history, replayed
from contracts.activities import WRITE_RECORD
from contracts.record import EventKind
from runtime.client import data_converter
from runtime.settings import Settings
from workflows.registered import WORKFLOWS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "histories"
FILES = sorted(FOLDER.rglob("*.json"))
CONVERTER = data_converter(Settings())
WORKFLOWS_FOLDER = ROOT / "workflows"
TYPES = {str(_Definition.must_from_class(each).name) for each in WORKFLOWS}
CONTINUED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
COMMANDS = frozenset(
    {
        *("call_engine", "call_tool", "execute_activity", "start_activity", "execute_child_workflow"),
        *("start_child_workflow", "sleep", "timeout", "continue_as_new", "signal", "patched"),
        *("upsert_search_attributes", "upsert_memo", "tell"),
    }
)
TIMED = frozenset({"wait_condition", "until", "wait_for", "wait"})
PLANTED = (
    ("engine.py", "for node in list(scope.nodes.values()):", "for node in reversed(list(scope.nodes.values())):"),
    ("agent/tools.py", "*turn.reads(), turn.write_in_order()", "*reversed(turn.reads()), turn.write_in_order()"),
    ("topic.py", "for subscription, event in batch))", "for subscription, event in reversed(batch)))"),
)
"""A change of order in what each workflow commands: file, text, other text."""


@cache
def history(file: Path) -> WorkflowHistory:
    return read_history(file)


def test_every_workflow_has_a_history_of_a_whole_and_of_a_first_and_of_a_last_part() -> None:
    found = set()
    for file in FILES:
        first, *_, last = history(file).events
        started = first.workflow_execution_started_event_attributes
        begins, ends = not started.continued_execution_run_id, last.event_type != CONTINUED
        found.add((started.workflow_type.name, begins, ends))
    wanted = ((True, True), (True, False), (False, True))
    assert found >= {(name, *part) for name in TYPES for part in wanted}
    assert {name for name, *_ in found} == TYPES


def test_everything_that_can_happen_to_a_run_has_happened_in_a_history() -> None:
    events = [event for file in FILES for event in history(file).events]
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
    assert (await replayed(history(file), file.name, CONVERTER)).problem is None


@pytest.mark.slow
async def test_every_place_where_a_workflow_commands_something_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities, timers, children, signals, markers: a new one needs a history (`tests/histories/record.py`)."""
    tracer = coverage.Coverage(source=[str(WORKFLOWS_FOLDER)], data_file=None, messages=False)
    # Walking through takes time, which the SDK would take for a deadlock on a busy machine.
    monkeypatch.setenv("TEMPORAL_DEBUG", "1")
    # The same lines are walked through without the sandbox, and sooner.
    runner = UnsandboxedWorkflowRunner()
    with tracer.collect():
        for file in FILES:
            await replayed(history(file), file.name, CONVERTER, runner)
    walked = tracer.get_data()
    assert [
        f"{file.relative_to(ROOT)}:{place.lineno}: {ast.unparse(place)[:80]}"
        for file in sorted(WORKFLOWS_FOLDER.rglob("*.py"))
        for place in commands(file)
        if not walked_through(place, walked.lines(str(file)) or ())
    ] == []


def commands(file: Path) -> list[ast.Call]:
    """The calls in a module that make commands, or that wait with a timer."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if is_command(ast.unparse(call.func), call)]


def is_command(called: str, call: ast.Call) -> bool:
    name = called.rpartition(".")[2]
    if called == "workflow.signal":  # the decorator of those that are taken
        return False
    return name in COMMANDS or (name in TIMED and any(given.arg in ("timeout", "within") for given in call.keywords))


def walked_through(place: ast.Call, lines: Collection[int]) -> bool:
    return any(line in lines for line in range(place.lineno, (place.end_lineno or place.lineno) + 1))


@pytest.mark.slow
def test_what_make_replay_runs_fails_at_a_change_of_order_in_any_workflow(tmp_path: Path) -> None:
    assert "$(PY) starter.py replay tests/histories" in (ROOT / "Makefile").read_text()
    for each in ROOT.iterdir():
        if each.name in ("workflows", "starter.py"):
            (copytree if each.is_dir() else copy)(each, tmp_path / each.name)
        elif not each.name.startswith("."):
            (tmp_path / each.name).symlink_to(each)
    for name, before, after in PLANTED:
        file = tmp_path / "workflows" / name
        text = file.read_text()
        assert text.count(before) == 1
        file.write_text(text.replace(before, after))
    command = [sys.executable, "starter.py", "replay", "tests/histories", "--json"]
    ended = run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    found = json.loads(ended.stdout)["histories"]
    assert len(found) == len(FILES)
    assert {each["type"] for each in found if each["diverges"]} == TYPES
