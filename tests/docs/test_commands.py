"""Every command that is shown runs, in the order of its page, in a fresh copy of the project with an empty home.

In the README Python is Python; on other pages it is one that has our programs in memory already.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import TextIO

import pytest
from temporalio.client import Client

from runtime.runs import Listed, list_runs
from tests.business import COMMANDS_APART
from tests.docs.pages import PAGES, ROOT, Block, blocks, not_printed
from tests.servers import SPARING
from tests.warm.python import open_python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = ("adapters.md", "tutorial-events.md", "tutorial-hierarchical.md", "tutorial-peers.md")
"""Minutes each, and much like the tutorial."""
ELSEWHERE = (
    "make setup",
    "make demo",
    "make test",
    "make check",
    "git clone",
    "cd ",
    "docker ",
    "kubectl ",
    "BUILD_ID=",
)
"""Commands that .ci/run, the demo's own tests and tests/deploy run; `make test` cannot run itself."""

MOVES = tuple(f" starter.py {word} " for word in ("run", "approve", "event", "repair", "rerun"))
"""Commands after which runs go on by themselves, until they wait again."""


@dataclass
class Workspace:
    """A copy of what is committed or about to be, sharing this environment's packages."""

    folder: Path
    environment: dict[str, str]
    running: list["subprocess.Popen[str]"] = field(default_factory=list)
    logs: list[TextIO] = field(default_factory=list)

    def run(self, command: str, timeout: float = 180) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def keep_running(self, command: str) -> None:
        log = (self.folder / "background.log").open("w")
        self.logs.append(log)
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(process)
        try:
            self.until("temporal task-queue describe --task-queue surefoot --output json", '"pollers"')
        except AssertionError as error:
            error.add_note(f"{command}, {process.poll()}: {Path(log.name).read_text()}")
            raise

    def until(self, command: str, *texts: str, seconds: float = 240) -> None:
        """Wait until a command's output holds one of these texts."""
        end = time.monotonic() + seconds
        while True:
            last = self.run(f"TEMPORAL_ADDRESS={self.address} {command}")
            if any(text in last.stdout for text in texts):
                return
            assert time.monotonic() < end, f"{command} never said {texts}: {last.stdout}{last.stderr}"
            time.sleep(COMMANDS_APART)

    async def until_quiet(self, seconds: float = 240) -> None:
        """Wait until every run has ended, or waits for people or events. What an event starts may come a moment later,
        so that two looks must agree."""
        client = await Client.connect(self.address)
        before: list[Listed] | None = None
        async with asyncio.timeout(seconds):
            while True:
                now, _ = await list_runs(client)
                if now == before and all(run.status != "running" for run in now):
                    return
                before = now
                await asyncio.sleep(COMMANDS_APART)

    @property
    def address(self) -> str:
        """Of the embedded server, empty until there is one."""
        file = self.folder / ".surefoot" / "server.json"
        return str(json.loads(file.read_text())["address"]) if file.exists() else "127.0.0.1:1"

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        for log in self.logs:
            log.close()


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is committed or about to be, in which one page follows the other: what is in memory has come from
    there."""
    folder = tmp_path_factory.mktemp("docs") / "a clone"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)  # with its time, by which Python knows what it has compiled of it
        compiled = Path(cache_from_source(str(ROOT / name)))
        if target.suffix == ".py" and compiled.exists():
            Path(cache_from_source(str(target))).parent.mkdir(exist_ok=True)
            shutil.copy2(compiled, cache_from_source(str(target)))
    git(folder, "init", "--quiet")
    git(folder, "add", "--force", ".")
    return folder


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def python_of_clone(clone: Path) -> Iterator[Path]:
    with open_python(clone, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}) as python:
        yield python.program


@pytest.fixture
def workspace(tmp_path: Path, clone: Path, page: Path, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    git(clone, "checkout", "--quiet", "--", ".")  # as it was added
    git(clone, "clean", "-xdff", "--quiet")
    environment = Path(sys.executable).parents[1]
    if page.name == "README.md":
        (clone / ".venv").symlink_to(environment)
    else:
        _link_programs(environment, clone, request.getfixturevalue("python_of_clone"))
    (clone / ".surefoot").mkdir()  # as it is where something has run
    home = tmp_path / "home"
    home.mkdir()
    made = Workspace(
        clone,
        {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SUREFOOT_PACE": "0",
            "LANG": "C.UTF-8",
            **SPARING,
        },
    )
    yield made
    made.stop()


def _link_programs(environment: Path, folder: Path, python: Path) -> None:
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for program in (environment / "bin").iterdir():
        (programs / program.name).symlink_to(python if program.name == "python" else program)


def run_block(workspace: Workspace, block: Block) -> None:
    for command, shown in block.session:
        if command.startswith(ELSEWHERE):
            continue
        if block.note == "background":
            workspace.keep_running(command)
            continue
        ended = workspace.run(command)
        assert ended.returncode == block.exit_status, f"{block}: {command}\n{ended.stdout}\n{ended.stderr}"
        assert not_printed(shown, ended.stdout) == [], f"{block}: {command}\n{ended.stdout}"
        if any(move in command for move in MOVES):
            asyncio.run(workspace.until_quiet())


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=pytest.mark.long if page.name in LONG else ())
        for page in PAGES
        if any(block.language in ("console", "bash") for block in blocks(page))
    ],
)
def test_every_command_of_a_page_runs(workspace: Workspace, page: Path) -> None:
    found = list(blocks(page))
    if page.name == "adapters.md" and not all(map(find_spec, ("pydantic_ai", "agents", "langgraph"))):
        pytest.skip("make setup WITH='pydantic-ai openai-agents langgraph'")
    for block in found:
        if block.file is not None:
            target = workspace.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "console":
            run_block(workspace, block)
        elif block.language == "bash":
            run_temporal_commands(workspace, block)


def run_temporal_commands(workspace: Workspace, block: Block) -> None:
    """Commands of the Temporal CLI, against a worker of ours on the embedded server."""
    workspace.keep_running(".venv/bin/python worker.py")
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("temporal workflow signal"):
            workspace.until("temporal workflow query --workflow-id invoice-approval-7 --name view", '"who"')
        ended = workspace.run(f"TEMPORAL_ADDRESS={workspace.address} {line}")
        assert ended.returncode == 0, f"{block}: {line}\n{ended.stdout}\n{ended.stderr}"
