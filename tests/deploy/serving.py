"""A worker as a file of deployment has it, on this machine: asked for its health, given a run, told to stop."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import yaml
from temporalio.client import Client

from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunResult
from runtime.settings import Settings
from tests.business import eventually
from tests.deploy.files import ROOT, health_command, image_environment
from tests.servers import open_berth

SAMPLE = yaml.safe_load((ROOT / "processes" / "customer-news" / "sample.yaml").read_text())


class Place(Protocol):
    """Where commands of containers are run."""

    def argv(self, command: Sequence[str], given: Mapping[str, str]) -> list[str]:
        """What runs this command there, in the environment that is there and what is given besides."""


class Clone:
    """This clone, with the Python of the tests."""

    def argv(self, command: Sequence[str], given: Mapping[str, str]) -> list[str]:
        variables = [f"{name}={value}" for name, value in given.items() if name != "PATH"]
        return ["env", f"--chdir={ROOT}", *variables, *written(command)]


HERE = Clone()


def written(command: Sequence[str]) -> list[str]:
    """As it is written, with the Python of the tests."""
    return [sys.executable if word == "python" else word for word in command]


async def succeeds(argv: Sequence[str]) -> bool:
    """Whether a command ends with status 0."""
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=False)
    return done.returncode == 0


@asynccontextmanager
async def at_work(
    client: Client, home: str, command: Sequence[str], given: Mapping[str, str], place: Place = HERE
) -> AsyncIterator[dict[str, str]]:
    """A worker of this command and environment, which answers its health check, and stops when it is told to.

    Gives its environment, in which it has a queue of its own.
    """
    with open_berth() as port:
        health, metrics = f"{port}", f"{port + 1}"
        environment = {
            **given,
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "SUREFOOT_HOME": home,
            "SUREFOOT_TASK_QUEUE": f"deploy-{uuid4().hex}",
            "SUREFOOT_HEALTH_PORT": health,
            "SUREFOOT_METRICS_PORT": metrics,
        }
        worker = await asyncio.create_subprocess_exec(*place.argv(command, environment), stdin=subprocess.DEVNULL)
        asked = [word.replace(image_environment()["SUREFOOT_HEALTH_PORT"], health) for word in health_command()]
        check = place.argv(asked, environment)
        try:
            await eventually(lambda: succeeds(check), bool)
            yield environment
        finally:
            worker.terminate()
            assert await worker.wait() == 0
        assert not await succeeds(check)


async def serves(
    client: Client,
    home: str,
    command: Sequence[str],
    given: Mapping[str, str],
    *,
    place: Place = HERE,
    before: Sequence[str] = (),
) -> None:
    """Such a worker runs a process. `before`: what `starter.py` is told before."""
    async with at_work(client, home, command, given, place) as environment:
        for words in before:
            told = place.argv(["python", "starter.py", *words.split()], environment)
            await asyncio.to_thread(subprocess.run, told, check=True)
        handle = await client.start_workflow(
            PROCESS_WORKFLOW,
            {"process": "customer-news", "input": SAMPLE},
            id=f"deployed-{uuid4()}",
            task_queue=environment["SUREFOOT_TASK_QUEUE"],
            result_type=RunResult,
        )
        assert (await handle.result()).status == "completed"


@asynccontextmanager
async def pages(
    home: Path, command: Sequence[str], given: Mapping[str, str], check: Sequence[str]
) -> AsyncIterator[str]:
    """The pages of this command and environment, which answer their health check; the port they are at."""
    with open_berth() as found:
        port = f"{found}"
        environment = {**given, "SUREFOOT_HOME": str(home), "SUREFOOT_LINKS__PORT": port}
        asked = [word.replace(str(Settings().links.port), port) for word in written(check)]
        assert not await succeeds(asked)
        served = await asyncio.create_subprocess_exec(*HERE.argv(command, environment), stdin=subprocess.DEVNULL)
        try:
            await eventually(lambda: succeeds(asked), bool)
            yield port
        finally:
            served.terminate()
            await served.wait()
