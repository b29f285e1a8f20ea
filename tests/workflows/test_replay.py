"""Histories of every workflow and path, recorded once, replay on the code of today; a change of order is noticed."""

import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import copy, copytree
from subprocess import run
from types import FrameType
from typing import Any, get_args

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
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
Place = ast.Await | ast.AsyncWith | ast.AsyncFor | ast.Call
COMMANDS = frozenset(
    {
        *("call_engine", "call_tool", "execute_activity", "start_activity", "execute_child_workflow"),
        *("start_child_workflow", "sleep", "timeout", "continue_as_new", "signal", "patched"),
        *("upsert_search_attributes", "upsert_memo", "tell", "create_task", "cancel"),
    }
)
"""What commands something, or begins or ends what does, also where it is not awaited."""
UNWALKED = {
    (
        "engine.py",
        "await asyncio.Event().wait()",
    ): "a step becomes ready while what else was on its way is let go, in the"
    " moment before the run continues as new: nobody can tell a run to be there",
    (
        "inbox.py",
        "await waiting.until(lambda: self._engine is not None)",
    ): "only of runs from before the marker above it",
    (
        "topic.py",
        "await super().run(state)",
    ): "only where workers are releases; it is the `run` that is walked, and no more",
}
"""Places that no history walks, by file and text, and why."""
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
async def test_every_place_where_a_workflow_commands_or_waits_is_walked_by_a_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes of each `await`, and in which order, is what replay holds. A new place needs a history of a run that
    comes there (`tests/histories/record.py`)."""
    # Walking through takes time, which the SDK would take for a deadlock on a busy machine; and all is in this thread.
    monkeypatch.setenv("TEMPORAL_DEBUG", "1")
    with walking() as walked:
        problems = [(await replayed(history(file), file.name, CONVERTER)).problem for file in FILES]
    assert set(problems) == {None}
    unwalked = [
        (file.relative_to(WORKFLOWS_FOLDER).as_posix(), place.lineno, ast.unparse(place).partition("\n")[0])
        for file in sorted(WORKFLOWS_FOLDER.rglob("*.py"))
        for place in places(file)
        if not walked[str(file)].intersection(lines_of(place))
    ]
    assert [each for each in unwalked if (each[0], each[2]) not in UNWALKED] == []
    assert {(file, text) for file, _, text in unwalked} == set(UNWALKED)


@contextmanager
def walking() -> Iterator[defaultdict[str, set[int]]]:
    """The lines of workflows that are gone through meanwhile, by file.

    The library for it, coverage, loses a coroutine that goes on because what it waited for failed: Python 3.11 does not
    say of such a frame that it is entered again. The tracer that it was given at first is
    told of its lines all the same.
    """
    walked: defaultdict[str, set[int]] = defaultdict(set)
    folder, before = str(WORKFLOWS_FOLDER), sys.gettrace()

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(folder):
            return None
        if event == "line":
            walked[frame.f_code.co_filename].add(frame.f_lineno)
        return trace

    sys.settrace(trace)
    try:
        yield walked
    finally:
        sys.settrace(before)


def places(file: Path) -> list[Place]:
    """Where a module awaits something, commands something without that, or begins or ends what does."""
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Place) and is_place(node)]


def is_place(node: Place) -> bool:
    if not isinstance(node, ast.Call):
        return True
    called = ast.unparse(node.func)  # `workflow.signal` is the decorator of those that are taken
    return called != "workflow.signal" and called.rpartition(".")[2] in COMMANDS


def lines_of(place: Place) -> range:
    """Of a block, those of what is awaited before it is entered."""
    end = place.end_lineno if isinstance(place, ast.expr) else place.body[0].lineno - 1
    return range(place.lineno, (end or place.lineno) + 1)


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
