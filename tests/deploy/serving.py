"""A worker as a file of deployment has it, on this machine: asked for its health, given a run, told to stop."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import yaml
from temporalio.client import Client

from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunResult
from tests.business import eventually
from tests.deploy.files import ROOT, health_command, image_environment

SAMPLE = yaml.safe_load((ROOT / "processes" / "customer-news" / "sample.yaml").read_text())
HERE: Mapping[str, str] = os.environ


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def written(command: list[str], python: Path = Path(sys.executable)) -> list[str]:
    """As it is written, with this Python; by default that of the tests."""
    return [str(python) if word == "python" else word for word in command]


async def serves(
    client: Client,
    home: Path,
    command: list[str],
    given: Mapping[str, str],
    *,
    folder: Path = ROOT,
    python: Path = Path(sys.executable),
    around: Mapping[str, str] = HERE,
    before: Sequence[str] = (),
) -> None:
    """A worker of this command and environment answers its health check, runs a process, and stops when told to.

    `around`: what is in the environment besides. `before`: what `starter.py` is told before the run.
    """
    queue, health, metrics = f"deploy-{uuid4().hex}", free_port(), free_port()
    here = {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "SUREFOOT_HOME": str(home),
        "SUREFOOT_TASK_QUEUE": queue,
        "SUREFOOT_HEALTH_PORT": health,
        "SUREFOOT_METRICS_PORT": metrics,
    }
    environment = {**around, **{name: value for name, value in given.items() if name != "PATH"}, **here}
    worker = await asyncio.create_subprocess_exec(
        *written(command, python), cwd=folder, env=environment, stdin=subprocess.DEVNULL
    )
    check = [
        word.replace(image_environment()["SUREFOOT_HEALTH_PORT"], health) for word in written(health_command(), python)
    ]

    async def healthy() -> bool:
        done = await asyncio.to_thread(subprocess.run, check, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    try:
        await eventually(healthy, bool)
        for words in before:
            told = [str(python), "starter.py", *words.split()]
            await asyncio.to_thread(subprocess.run, told, cwd=folder, env=environment, check=True)
        handle = await client.start_workflow(
            PROCESS_WORKFLOW,
            {"process": "customer-news", "input": SAMPLE},
            id=f"deployed-{uuid4()}",
            task_queue=queue,
            result_type=RunResult,
        )
        assert (await handle.result()).status == "completed"
    finally:
        worker.terminate()
        assert await worker.wait() == 0
    assert not await healthy()
