"""A Python that has imported our programs before it is called: what it runs of them begins in a fraction of the time,
and of the processor's, which is most of what a short command costs.

For tests of what programs do. How they start is for others, which start them with Python itself: those of the README,
the demo, the worker, the image.
"""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.warm import caller, keeper


class Forked:
    """A program that the keeper has forked, used as a `Popen` is."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._said = b""
        self.pid = self._number()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(TimeoutError):
            self._wait(0.001)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._wait(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def leave(self) -> None:
        """As if whoever started it had died."""
        self._line.close()

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            self._line.settimeout(timeout)
            self.returncode = self._number()
            self._line.close()
        return self.returncode

    def _number(self) -> int:
        """The next one that the keeper says: the process, then its exit status."""
        while b"\n" not in self._said:
            said = self._line.recv(64)
            if not said:
                raise ConnectionError("the keeper of programs is gone")
            self._said += said
        number, _, self._said = self._said.partition(b"\n")
        return int(number)


@dataclass(frozen=True)
class WarmPython:
    """`program`: to be called in the place of Python."""

    program: Path
    address: str

    def start(self, words: list[str], folder: Path, environment: Mapping[str, str], log: IO[Any]) -> Forked:
        """A program of ours, without input, whose output goes to `log`."""
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.address)
        with Path(os.devnull).open() as nothing:
            socket.send_fds(line, [b"\n"], [nothing.fileno(), log.fileno(), log.fileno()])
        line.sendall(json.dumps([words, str(folder), dict(environment)]).encode() + b"\n")
        return Forked(line)


@contextlib.contextmanager
def open_python(root: Path, environment: Mapping[str, str] = os.environ) -> Iterator[WarmPython]:
    """One that keeps the programs and packages which lie in `root`."""
    with tempfile.TemporaryDirectory() as folder:  # the address of a socket has no room for the names of most folders
        address = f"{folder}/s"
        process = subprocess.Popen(
            [sys.executable, "-m", keeper.__name__, address],
            cwd=root,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == keeper.READY
            program = Path(folder) / "python"
            words = [sys.executable, "-IS", caller.__file__, address, str(root), sys.executable]
            program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            program.chmod(0o755)
            yield WarmPython(program, address)
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
