import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from uuid_utils import uuid7

import worker
from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunRequest, RunResult
from runtime.client import connect
from runtime.server import find_server
from runtime.settings import PROJECT, Settings
from tests.runtime.waiting import until

PROCESS = """
process: gated
steps:
  hold: {tool: gate.hold}
output: ${ steps.hold.output }
"""

TOOLS = '''
import time
from pathlib import Path

from contracts.tools import tool

FOLDER = Path(__file__).parent


@tool(name="gate.hold", effect="write", idempotent=True)
def hold() -> str:
    """Say that it is held, then wait for the file `open`."""
    (FOLDER / "held").touch()
    while not (FOLDER / "open").exists():
        time.sleep(0.02)
    return "through"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "own processes" / "gated"
    path.mkdir(parents=True)
    (path / "process.yaml").write_text(PROCESS)
    (path / "tools.py").write_text(TOOLS)
    return path


@pytest.fixture
def environment(tmp_path: Path, folder: Path) -> dict[str, str]:
    return {
        "SUREFOOT_HOME": str(tmp_path / "a home"),
        "SUREFOOT_PROCESSES": str(folder.parent),
        "SUREFOOT_TASK_QUEUE": f"worker-{uuid7()}",
        "HOME": str(tmp_path),
    }


async def start_worker(environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "worker.py",
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def says(program: asyncio.subprocess.Process, text: bytes) -> None:
    """Until it shows this on its screen."""
    assert program.stderr is not None
    seen = b""
    while text not in seen:
        line = await asyncio.wait_for(program.stderr.readline(), 60)
        assert line, seen.decode()
        seen += line


async def start_run(client: Client, queue: str) -> WorkflowHandle[Any, RunResult]:
    return await client.start_workflow(
        PROCESS_WORKFLOW, RunRequest(process="gated"), id=f"gated-{uuid7()}", task_queue=queue, result_type=RunResult
    )


def rewrite(file: Path, content: str) -> None:
    file.write_text(content)


@pytest.mark.parametrize("told", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
async def test_told_to_stop_it_finishes_what_is_running(
    client: Client, environment: dict[str, str], folder: Path, told: signal.Signals
) -> None:
    started = await start_worker({**environment, "TEMPORAL_ADDRESS": client.service_client.config.target_host})
    await says(started, b"is ready")
    run = await start_run(client, environment["SUREFOOT_TASK_QUEUE"])
    await until((folder / "held").exists, "the tool is called")
    started.send_signal(told)
    await says(started, b"stopping")
    assert started.returncode is None
    rewrite(folder / "open", "")
    _, rest = await asyncio.wait_for(started.communicate(), 40)
    assert b"Traceback" not in rest
    assert await started.wait() == 0
    events = [event.event_type for event in (await run.fetch_history()).events]
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in events
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT not in events
    await run.terminate()


@pytest.mark.slow
async def test_what_goes_on_longer_than_its_grace_is_made_again_elsewhere(
    client: Client, environment: dict[str, str], folder: Path
) -> None:
    there = {**environment, "TEMPORAL_ADDRESS": client.service_client.config.target_host}
    first = await start_worker({**there, "SUREFOOT_GRACE": "1s"})
    await says(first, b"is ready")
    run = await start_run(client, environment["SUREFOOT_TASK_QUEUE"])
    await until((folder / "held").exists, "the tool is called")
    first.terminate()
    await asyncio.wait_for(first.communicate(), 15)
    rewrite(folder / "open", "")
    second = await start_worker(there)
    assert (await asyncio.wait_for(run.result(), 60)).output == "through"
    second.terminate()
    await asyncio.wait_for(second.communicate(), 40)


@pytest.mark.slow
async def test_without_an_address_it_brings_its_server_and_takes_it_along(
    environment: dict[str, str], folder: Path
) -> None:
    rewrite(folder / "open", "")
    settings = Settings(home=Path(environment["SUREFOOT_HOME"]))
    started = await start_worker(environment)
    await says(started, b"is ready")
    run = await start_run((await connect(settings)).client, environment["SUREFOOT_TASK_QUEUE"])
    assert (await asyncio.wait_for(run.result(), 60)).output == "through"
    started.terminate()
    await asyncio.wait_for(started.communicate(), 40)
    assert started.returncode == 0
    assert find_server(settings) is None


@pytest.mark.chaos
async def test_a_run_goes_on_when_the_worker_that_owns_the_server_is_killed(
    environment: dict[str, str], folder: Path
) -> None:
    settings = Settings(home=Path(environment["SUREFOOT_HOME"]))
    first = await start_worker(environment)
    await says(first, b"is ready")
    run = await start_run((await connect(settings)).client, environment["SUREFOOT_TASK_QUEUE"])
    await until((folder / "held").exists, "the tool is called")
    first.kill()
    await first.communicate()
    rewrite(folder / "open", "")
    second = await start_worker(environment)
    await says(second, b"is ready")
    assert (await asyncio.wait_for(run.result(), 60)).output == "through"
    second.terminate()
    await asyncio.wait_for(second.communicate(), 40)
    assert find_server(settings) is None


@pytest.fixture
def here(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The worker's environment is this process's; it can be run by `worker.run`."""
    monkeypatch.setattr(sys, "argv", ["worker.py"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logging = structlog.get_config()
    yield monkeypatch
    structlog.configure(**logging)


def test_a_setting_that_is_wrong_is_one_message_and_status_2(
    here: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here.setenv("SUREFOOT_LOG_LEVEL", "loud")
    status, said = worker.run(), capfd.readouterr().err
    assert status == 2
    assert said.startswith("SUREFOOT_LOG_LEVEL: 'loud'")
    assert said.count("\n") == 1


async def test_a_server_that_cannot_be_reached_is_one_message_and_status_3(environment: dict[str, str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
        started = await start_worker({**environment, "TEMPORAL_ADDRESS": nowhere})
        _, said = await asyncio.wait_for(started.communicate(), 60)
    assert started.returncode == 3
    assert nowhere in said.decode()
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("process.yaml", PROCESS.replace("gate.hold", "gate.hald"), "process.yaml:4:"),
        ("tools.py", TOOLS + "\n1 / 0\n", "tools.py:18"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_mistake_in_a_process_is_said_with_its_place_and_status_2(
    folder: Path, capfd: pytest.CaptureFixture[str], name: str, content: str, place: str
) -> None:
    rewrite(folder / name, content)
    status, said = worker.run(), capfd.readouterr().err
    assert status == 2
    assert place in said
    assert "Traceback" not in said
