"""Sizes, names and words that keep the project readable."""

import ast
import io
import re
import tokenize
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.project import ROOT, committed, modules, shown

MAX_LINES = 400
TRIVIAL_LINES = 12
TRACKER = re.compile(
    r"(?:\b(?:issue|ticket|task|phase|milestone)s?[ -]#?\d)|(?:(?<![\w/-])#\d+\b)|\b(?:TODO|FIXME)\b", re.I
)
"""Numbers of a tracker, and promises. `owner/repository#300`, a fact about a library, is none."""
MACHINE = re.compile(r"(?<![\w.])/(?:root|tmp|work|home|Users)/\w")


def test_no_module_is_too_long_to_be_read_at_a_sitting() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in modules()}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_module_or_folder_hides_an_installed_package() -> None:
    installed = packages_distributions()
    own = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and path.name[0] not in "._")}
    assert own & set(installed) == set(), "rename it: Python would import ours where a library wants its own"


def comments(path: Path) -> list[str]:
    """Comments, then docstrings."""
    text = path.read_text()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = [token.string for token in tokens if token.type == tokenize.COMMENT]
    expressions = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr))
    constants = (value.value for value in expressions if isinstance(value, ast.Constant))
    return found + [constant for constant in constants if isinstance(constant, str)]


def test_comments_say_why_and_point_at_no_tracker() -> None:
    paths = [path for path in committed() if path.suffix == ".py"]
    assert paths
    named = [path for path in paths if TRACKER.search(path.read_text())]  # to be read into parts, which takes long
    said = {shown(path): [text for text in comments(path) if TRACKER.search(text)] for path in named}
    assert {path: texts for path, texts in said.items() if texts} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# see issue 12", True),
        ("# Phase 2 adds events", True),
        ("# closes #7", True),
        ("# to do later: TODO", True),
        ("# temporalio/sdk-python#300", False),
        ("# tasks are polled 2 at a time", False),
        ("# colour #fff", False),
    ],
)
def test_what_counts_as_pointing_at_a_tracker(text: str, found: bool) -> None:
    assert bool(TRACKER.search(text)) is found


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    named = {
        shown(path): MACHINE.findall(path.read_text(errors="replace"))
        for path in committed()
        if path.name != "uv.lock" and path != Path(__file__).resolve()
    }
    assert {path: places for path, places in named.items() if places} == {}


def _undocumented(path: Path) -> list[str]:
    """Public classes and functions without a docstring that are too long to speak for themselves."""
    missing: list[str] = []
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > TRIVIAL_LINES and ast.get_docstring(node) is None:
            missing.append(node.name)
    return missing


def test_what_contracts_and_language_offer_is_explained() -> None:
    pure = [path for path in modules() if shown(path).startswith(("contracts/", "language/"))]
    missing = {shown(path): _undocumented(path) for path in pure}
    assert {path: names for path, names in missing.items() if names} == {}
    silent = [path for path in pure if path.stat().st_size and ast.get_docstring(ast.parse(path.read_text())) is None]
    assert [shown(path) for path in silent] == []


def test_workflows_wait_in_the_one_way_that_only_a_cancelled_task_leaves() -> None:
    found = [shown(path) for path in (ROOT / "workflows").rglob("*.py") if "wait_condition" in path.read_text()]
    assert found == ["workflows/waiting.py"]


def test_workflows_tell_each_other_in_the_one_way_that_survives_a_cancel() -> None:
    sends = re.compile(r"await [^\n]*\.signal\(")
    found = [shown(path) for path in (ROOT / "workflows").rglob("*.py") if sends.search(path.read_text())]
    assert found == ["workflows/signals.py"]
