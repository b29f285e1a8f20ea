"""What a worker says of itself through a bad day: while its server is away, and from the order to stop to its end."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE
from runtime.server import temporal_binary
from tests.business import PROJECT, eventually
from tests.runtime.test_health import get
from tests.servers import Berth

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

TOOLS = '''
import os, time
from pathlib import Path
from contracts.tools import tool

HOME = Path(os.environ["SUREFOOT_HOME"])

@tool(name="gate.pass", effect="write", idempotent=True, timeout="60s")
def through() -> None:
    """Wait at the gate until it is open."""
    (HOME / "at-the-gate").touch()
    while not (HOME / "open").exists():
        time.sleep(0.05)
    (HOME / "through").touch()
'''
PROCESS = "process: gate\nsteps: {through: {tool: gate.pass}}\n"


class Server:
    """A server of its own, with a file that outlives it."""

    def __init__(self, home: Path) -> None:
        self.berth = Berth()
        self.port = self.berth.port
        self._command = [
            *(str(temporal_binary()), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"),
            *("--port", str(self.port), "--db-filename", str(home / "temporal.db")),
        ]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    yield started
    started.kill()
    started.berth.leave()


async def test_a_worker_is_ready_only_while_it_can_work_and_alive_all_the_time(
    server: Server, tmp_path: Path, port: int
) -> None:
    folder = tmp_path / "processes" / "gate"
    folder.mkdir(parents=True)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "process.yaml").write_text(PROCESS)
    given = {
        "TEMPORAL_ADDRESS": f"127.0.0.1:{server.port}",
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_PROCESSES": str(folder.parent),
        "SUREFOOT_HEALTH_PORT": str(port),
    }

    async def probes() -> tuple[int, int]:
        """What `/livez` and `/readyz` answer."""
        try:
            return (await get(port, "/livez"))[0], (await get(port, "/readyz"))[0]
        except OSError:
            return 0, 0

    async def is_at_the_gate() -> bool:
        return await asyncio.to_thread((tmp_path / "at-the-gate").exists)

    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(PROJECT / "worker.py"), env={**os.environ, **given}, stdin=subprocess.DEVNULL
    )
    try:
        await eventually(probes, (200, 200).__eq__)
        server.kill()
        await eventually(probes, (200, 503).__eq__)
        server.start()
        await eventually(probes, (200, 200).__eq__)
        client = await Client.connect(given["TEMPORAL_ADDRESS"])
        await client.start_workflow(PROCESS_WORKFLOW, {"process": "gate"}, id="gate-1", task_queue=TASK_QUEUE)
        await eventually(is_at_the_gate, bool)
        worker.send_signal(signal.SIGTERM)
        await eventually(probes, (200, 503).__eq__)
        assert not (tmp_path / "through").exists()
        (tmp_path / "open").touch()
        assert await worker.wait() == 0
        assert (tmp_path / "through").exists()
        assert await probes() == (0, 0)
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
