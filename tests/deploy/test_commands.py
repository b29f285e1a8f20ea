"""The commands that the compose file, the image and the manifests give, run as they are written, on this machine."""

import asyncio
import os
import socket
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from temporalio.client import Client

from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunResult
from runtime.settings import Settings
from tests.business import eventually
from tests.deploy.files import (
    BUILD_ID,
    ROOT,
    SERVICES,
    health_command,
    image_command,
    image_environment,
    kubernetes_environment,
    worker_container,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

SAMPLE = yaml.safe_load((ROOT / "processes" / "customer-news" / "sample.yaml").read_text())
ELSEWHERE = ("SUREFOOT_CONVERSATIONS__", "SUREFOOT_RECORDS__", "SUREFOOT_STORAGE__")
"""Databases and buckets, which are not on this machine."""


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def written(command: list[str]) -> list[str]:
    """As it is written, with the Python of these tests."""
    return [sys.executable if word == "python" else word for word in command]


async def serves(client: Client, tmp_path: Path, command: list[str], given: dict[str, str]) -> None:
    """A worker of this command and environment answers its health check, runs a process, and stops when told to."""
    queue, health, metrics = f"deploy-{uuid4().hex}", free_port(), free_port()
    here = {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_TASK_QUEUE": queue,
        "SUREFOOT_HEALTH_PORT": health,
        "SUREFOOT_METRICS_PORT": metrics,
    }
    environment = {**os.environ, **{name: value for name, value in given.items() if name != "PATH"}, **here}
    worker = await asyncio.create_subprocess_exec(
        *written(command), cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
    )
    check = [word.replace(image_environment()["SUREFOOT_HEALTH_PORT"], health) for word in written(health_command())]

    async def healthy() -> bool:
        done = await asyncio.to_thread(subprocess.run, check, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    try:
        await eventually(healthy, bool)
        if "SUREFOOT_DEPLOYMENT" in given:
            promote = [sys.executable, "starter.py", "deploy", "promote", given["SUREFOOT_BUILD_ID"]]
            await asyncio.to_thread(subprocess.run, promote, cwd=ROOT, env=environment, check=True)
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


async def test_the_worker_of_the_compose_file(client: Client, tmp_path: Path) -> None:
    given = {**image_environment(), **SERVICES["worker"]["environment"]}
    command = SERVICES["worker"].get("command", image_command())
    await serves(client, tmp_path, command, {name: value for name, value in given.items() if value})


async def test_the_pages_of_the_compose_file(client: Client, tmp_path: Path) -> None:
    pages, port = SERVICES["pages"], free_port()
    given = {name: value for name, value in pages["environment"].items() if value}
    here = {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_LINKS__PORT": port,
    }
    environment = {**os.environ, **given, **here}
    served = await asyncio.create_subprocess_exec(*written(pages["command"]), cwd=ROOT, env=environment)
    check = [word.replace(str(Settings().links.port), port) for word in written(pages["healthcheck"]["test"][1:])]

    async def healthy() -> bool:
        done = await asyncio.to_thread(subprocess.run, check, capture_output=True, check=False)
        return done.returncode == 0

    assert not await healthy()
    try:
        await eventually(healthy, bool)
    finally:
        served.terminate()
        await served.wait()


async def test_the_worker_of_the_manifests(client: Client, tmp_path: Path) -> None:
    given = {name: value for name, value in kubernetes_environment().items() if not name.startswith(ELSEWHERE)}
    given["SUREFOOT_DEPLOYMENT"] = f"deploy-{uuid4().hex}"
    assert given["SUREFOOT_BUILD_ID"] == BUILD_ID
    given["LINKS_KEY"] = b64encode(bytes(32)).decode()  # of the secret
    await serves(client, tmp_path, worker_container()["command"], given)
