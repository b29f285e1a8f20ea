"""The command line in this process, against the shared server and the very worker of `worker.py`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
import pytest_asyncio
import structlog
from temporalio.client import Client, WorkflowFailureError

import worker as composition
from cli.app import call
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.settings import Settings, load_settings
from starter import PARTS
from tests.business import Said

TOOLS = '''
from contracts.tools import ToolError, tool

@tool(name="shop.stock", effect="read")
def stock(item: str) -> int:
    """Stock of an item."""
    if item == "unicorn":
        raise ToolError("there is no item unicorn", retry=False)
    return 4
'''
PROCESS = """
process: flaky
version: 2
description: Look at the stock, then ask
on: [{event: TOPIC}]
input: {type: object, required: [item], properties: {item: {type: string}}}
steps:
  stock: {tool: shop.stock, with: {item: "${ input.item }"}}
  sign_off:
    approval:
      title: Take ${ steps.stock.output }?
      show: {in stock: "${ steps.stock.output }"}
      from: [{any_of: ["group:finance"]}]
output: {taken: "${ steps.stock.output }"}
"""


class Starter(Protocol):
    async def __call__(self, *arguments: str) -> Said: ...


@pytest.fixture
def topic() -> str:
    """Topics are shared by all of a namespace, so each test has its own."""
    return f"test.{uuid4().hex}"


@pytest.fixture
def process_file(tmp_path: Path, topic: str) -> Path:
    folder = tmp_path / "processes" / "flaky"
    folder.mkdir(parents=True)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "process.yaml").write_text(PROCESS.replace("TOPIC", topic))
    return folder / "process.yaml"


@pytest.fixture
def settings(client: Client, process_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings that every command of the test reads, from its environment."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SUREFOOT_PROCESSES", str(process_file.parents[1]))
    monkeypatch.setenv("SUREFOOT_TASK_QUEUE", f"cli-{uuid4()}")
    monkeypatch.setenv("SUREFOOT_USER", "sam")
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "home").mkdir()
    return load_settings()


@pytest.fixture
def starter(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Starter:
    async def start(*arguments: str) -> Said:
        capsys.readouterr()
        status = await asyncio.to_thread(call, arguments, PARTS)
        return Said(status, *capsys.readouterr())

    return start


@pytest_asyncio.fixture
async def running(settings: Settings, client: Client) -> AsyncIterator[None]:
    """A worker for the test's queue."""
    async with at_work(settings, client):
        yield


@asynccontextmanager
async def at_work(settings: Settings, client: Client) -> AsyncIterator[None]:
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    logging = structlog.get_config()
    with (settings.home / "worker.log").open("a") as log:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
        async with composition.running_worker(settings, connection, Catalog.load(settings.folders)):
            yield
    structlog.configure(**logging)


async def until_closed(client: Client, run: str) -> None:
    """Until the run has ended on the server too, when its record is written: a moment after its view says so."""
    with contextlib.suppress(WorkflowFailureError):
        await client.get_workflow_handle(run).result()


async def until_waiting(starter: Starter, run: str, status: str) -> dict[str, Any]:
    """The run's view once it has this status."""
    async with asyncio.timeout(60):
        while True:
            view: dict[str, Any] = (await starter("status", run, "--json")).json
            if view.get("status") == status:
                return view
            await asyncio.sleep(0.05)
