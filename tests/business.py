"""A worker with its embedded server as real processes, and the sample company's ledger."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client

from runtime.client import compression_to, data_converter
from runtime.settings import Settings
from tests.looks import pauses
from tests.warm.python import Forked, WarmPython

PROJECT = Path(__file__).parents[1]
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Said:
    """What a command of `starter.py` left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Business:
    """A worker with its embedded server in a home folder, and the sample company's ledger. `program`: the worker's;
    `python`: what runs it, in the place of Python."""

    home: Path
    program: Path = PROJECT / "worker.py"
    python: WarmPython | None = None
    worker: "subprocess.Popen[bytes] | Forked | None" = None
    logs: list[Any] = field(default_factory=list)

    def start_worker(self, program: Path | None = None, settings: Mapping[str, str] = _NONE) -> None:
        log = (self.home / f"worker-{len(self.logs)}.log").open("wb")
        self.logs.append(log)
        environment = {**os.environ, "SUREFOOT_HOME": str(self.home), "SUREFOOT_PACE": "0.4", **settings}
        words = [str(program or self.program)]
        if self.python is not None:
            self.worker = self.python.start(words, self.home, environment, log)
            return
        self.worker = subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.home,
        )

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def kill_server(self) -> None:
        os.kill(self.server["pid"], signal.SIGKILL)

    def stop(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(60)
        with suppress(OSError, ValueError):  # else of a worker that was killed, and could not stop it
            self.kill_server()
        for log in self.logs:
            log.close()

    @property
    def server(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        return found

    def effects(self) -> list[tuple[str, int]]:
        """Every key in the ledger with how often it is there."""
        file = self.home / "business.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file, timeout=20)) as connection:
            try:
                return connection.execute("SELECT key, count(*) FROM effects GROUP BY key").fetchall()
            except sqlite3.OperationalError:  # the tables are made by the first call
                return []

    async def client(self) -> Client:
        connected: Client = await eventually(self._connected, lambda client: client is not None)
        return connected

    async def _connected(self) -> Client | None:
        try:
            return await Client.connect(
                self.server["address"],
                data_converter=data_converter(Settings(home=self.home)),
                grpc_compression=compression_to(self.server["address"]),
            )
        except (OSError, ValueError, RuntimeError):
            return None


COMMANDS_APART = 0.5
"""Seconds between two looks that are commands. One at once after the other would take a processor from what is waited
for."""


async def eventually(
    look: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 90, apart: float = 0.05
) -> Any:
    """What `look` gives once this holds of it. `apart`: seconds between the first two looks."""
    async with asyncio.timeout(seconds):
        pause = pauses(apart, max(apart, 0.2))
        while not holds(seen := await look()):
            await asyncio.sleep(next(pause))
        return seen
