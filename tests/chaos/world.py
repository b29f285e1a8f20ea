"""A company with a worker or two, a Temporal server and a ledger of its own, for faults to happen to."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.business import Business, eventually
from tests.chaos.haste import HEARTBEAT
from tests.chaos.nursery import PORT, Nursery, is_alive
from tests.servers import SPARING, Berth

NONE: Mapping[str, str] = MappingProxyType({})
READY = "Surefoot worker is ready"
LOST_AFTER = HEARTBEAT + 1.5
"""Seconds: what was stopped for so long is taken for lost."""


@dataclass
class World(Business):
    """`environment`: of workers that are started from now on. A worker that dies is started again."""

    nursery: Nursery = field(kw_only=True)
    environment: dict[str, str] = field(default_factory=dict)
    planted: str | None = None
    workers: list[int] = field(default_factory=list)
    born: int = 0
    berth: Berth = field(default_factory=Berth)

    def __post_init__(self) -> None:
        self.home.mkdir()

    def start_worker(self, program: Path | None = None, settings: Mapping[str, str] = NONE) -> None:
        """The nursery has the program in its memory already."""
        environment = {
            "PATH": os.environ["PATH"],
            "SUREFOOT_HOME": str(self.home),
            "SUREFOOT_PACE": "0.1",
            PORT: f"{self.berth.port}",
            **SPARING,
            **settings,
        }
        log = self.home / f"worker-{self.born}.log"
        self.born += 1
        self.workers.append(self.nursery.worker(environment | self.environment, log, self.planted))

    def kill_worker(self) -> None:
        for worker in self.workers[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    def kill_server(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # it was killed before, or is being stopped
            super().kill_server()

    async def drain_workers(self) -> None:
        """They finish what they have begun, stop the server and end; the next one starts it again."""
        leaving = [*self.workers]
        for worker in leaving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)
        while any(map(is_alive, leaving)):
            await asyncio.sleep(0.05)

    async def stop_for_a_while(self) -> None:
        """The first worker stands still until it is taken for lost and another does its work; then it goes on."""
        first = self.workers[0]
        self.start_worker()
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGSTOP)
        try:
            await asyncio.sleep(LOST_AFTER)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGCONT)

    async def replace_workers(self, environment: Mapping[str, str]) -> None:
        """One worker, of this environment, in the place of all there are."""
        self.environment = dict(environment)
        for worker in self.workers[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        del self.workers[1:]
        self.kill_worker()

    def faults(self) -> list[tuple[str, str]]:
        """What workers did to themselves: fault and place."""
        journal = self.home / "faults.log"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [(fault, place) for fault, _, place in (line.partition(" ") for line in lines)]

    async def supervise(self) -> None:
        while True:
            for worker in [worker for worker in self.workers if not is_alive(worker)]:
                self.workers.remove(worker)
                if not self.workers:
                    self.start_worker()
            await asyncio.sleep(0.05)

    def destroy(self) -> None:
        self.berth.leave()
        pids = [*self.workers]
        with contextlib.suppress(OSError, ValueError):
            pids.append(self.server["pid"])
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def open_world(
    home: Path, nursery: Nursery, environment: Mapping[str, str], planted: str | None = None
) -> AsyncIterator[World]:
    """With one worker, which is replaced whenever it dies; everything in it is killed at the end."""
    world = World(home, nursery=nursery, environment=dict(environment), planted=planted)
    world.start_worker()
    supervisor = asyncio.create_task(world.supervise())
    try:

        async def is_up() -> bool:
            # A server that is killed before it has settled is taken for one whose port is not free, and goes elsewhere.
            log = home / "worker-0.log"
            return log.exists() and READY in log.read_text()

        await eventually(is_up, bool)
        yield world
    finally:
        supervisor.cancel()
        world.destroy()
