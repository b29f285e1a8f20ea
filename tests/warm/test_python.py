"""What is forked is as what Python starts: words, streams, folder, environment, status, signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.settings import PROJECT
from tests.business import eventually
from tests.chaos.nursery import is_alive
from tests.warm.python import WarmPython

pytestmark = pytest.mark.slow

STARTER = str(PROJECT / "starter.py")
UNREACHABLE = {**os.environ, "TEMPORAL_ADDRESS": "127.0.0.1:1"}


def said(python: Path | str, folder: Path, *words: str, given: str = "") -> tuple[int, str, str]:
    ended = subprocess.run(
        [str(python), *words], cwd=folder, env=UNREACHABLE, input=given, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("words", "given", "status"),
    [
        ((STARTER, "--help"), "", 0),
        ((STARTER, "validate", "process.yaml"), "", 2),
        ((STARTER, "run", "stock-check", "--input", "-"), "{", 2),
        (("-c", "import sys; print(sys.argv, sys.stdin.read()); sys.exit(7)", "a b"), "given", 7),
    ],
)
def test_it_says_and_ends_with_what_python_does(
    warm_python: WarmPython, tmp_path: Path, words: tuple[str, ...], given: str, status: int
) -> None:
    (tmp_path / "process.yaml").write_text("process: 1")
    told = said(warm_python.program, tmp_path, *words, given=given)
    assert told == said(sys.executable, tmp_path, *words, given=given)
    assert told[0] == status


async def test_it_gets_signals_and_does_not_outlive_who_called_it(warm_python: WarmPython, tmp_path: Path) -> None:
    environment = {**UNREACHABLE, "SUREFOOT_HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        killed = warm_python.start([str(PROJECT / "worker.py")], tmp_path, environment, log)
        assert killed.poll() is None
        killed.kill()
        assert killed.wait(30) == -signal.SIGKILL
        left = warm_python.start([str(PROJECT / "worker.py")], tmp_path, environment, log)
    left.leave()

    async def lives() -> bool:
        return is_alive(left.pid)

    await eventually(lives, lambda lives: not lives)
