"""Imports flow down."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.project import ENTRY_POINTS, ROOT, modules, shown

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def imported(path: Path) -> set[str]:
    """The first part of every module name that the file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_every_import_contract_of_pyproject_holds() -> None:
    done = subprocess.run([sys.executable, "-c", LINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_an_import_upwards_breaks_a_contract(tmp_path: Path) -> None:
    for package in ("contracts", "language", "workflows", "activities", "runtime", "api", "cli", "testkit", "evals"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "contracts" / "leak.py").write_text("import language\n")
    (tmp_path / "workflows" / "leak.py").write_text("import activities\nimport sqlite3\n")
    (tmp_path / "api" / "leak.py").write_text("import activities\nimport cli\n")
    done = subprocess.run([sys.executable, "-c", LINT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    leaks = ("contracts.leak -> language", "workflows.leak -> activities", "workflows.leak -> sqlite3")
    for leak in (*leaks, "api.leak -> activities", "api.leak -> cli"):
        assert leak in done.stdout


@pytest.mark.parametrize("entry", [Path(name).stem for name in ENTRY_POINTS])
def test_nothing_but_an_entry_point_imports_an_entry_point(entry: str) -> None:
    # The kit puts processes on trial with the worker itself, so that nothing is wired a second time.
    others = (path for path in modules() if not shown(path).startswith("testkit/"))
    importers = [shown(path) for path in others if entry in imported(path) and shown(path) not in ENTRY_POINTS]
    assert importers == []


def test_processes_see_the_contracts_and_nothing_else_of_the_engine() -> None:
    engine = {"language", "workflows", "activities", "runtime", "api", "cli", "worker", "starter"}
    leaks = {shown(path): imported(path) & engine for path in modules() if shown(path).startswith("processes/")}
    assert {path: names for path, names in leaks.items() if names} == {}


CARRIED_OUT = """
import os, sys
from cli.app import call
from starter import PARTS

call(sys.argv[1:], PARTS)
print(*sys.modules, flush=True)
os._exit(0)  # as starter.py does: threads of Temporal's client can crash an interpreter that shuts down
"""
ENGINE = {"workflows", "temporalio.worker", "language.load", "cel", "activities", "api"}
LIBRARIES = {"openai", "httpx2", "mcp", "sqlalchemy", "starlette", "uvicorn", "prompt_toolkit"}


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (("--help",), ENGINE | LIBRARIES | {"runtime.settings", "temporalio.client"}),
        (("status", "any"), ENGINE | LIBRARIES),
        (("approve", "any", "step"), ENGINE | LIBRARIES),
    ],
)
def test_a_command_starts_without_what_others_need(words: tuple[str, ...], unneeded: set[str]) -> None:
    environment = {"TEMPORAL_ADDRESS": "127.0.0.1:1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", CARRIED_OUT, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert words == ("--help",) or "127.0.0.1:1 cannot be reached" in done.stderr
    assert unneeded & set(done.stdout.split()) == set()
