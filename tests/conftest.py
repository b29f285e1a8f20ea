"""A real Temporal server for every test that wants one, and nothing beyond this machine for any."""

import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from runtime.server import HOST, PORT, UI_PORT
from tests.business import PROJECT, Business
from tests.endpoint import Endpoint, open_endpoint
from tests.servers import SPARING, open_berth, open_server, open_skipping_server
from tests.warm.python import WarmPython, open_python

pytest_plugins = ["testkit"]

for name in list(os.environ):
    if name.startswith(("OPENAI_", "SUREFOOT_", "TEMPORAL_")):
        del os.environ[name]
os.environ |= {"SUREFOOT_PACE": "0", **SPARING}

settings.load_profile("ci")  # the same examples each time, however long one takes

gc.disable()  # until all tests are collected


def pytest_collection_finish() -> None:
    """What is imported stays, and to look through it for garbage again and again is a tenth of the work."""
    gc.collect()
    gc.freeze()
    gc.enable()


_held = [socket.socket(), socket.socket()]


def pytest_configure() -> None:
    """The usual ports are kept from all servers of tests: one that is killed would find another test's at its own."""
    for holder, port in zip(_held, (PORT, UI_PORT), strict=True):
        with contextlib.suppress(OSError):  # another session of tests, or somebody's own server, has it
            holder.bind((HOST, port))


def pytest_unconfigure() -> None:
    for holder in _held:
        holder.close()


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if host != "localhost" and not ip_address(host).is_loopback:
            raise PermissionError(f"a test tried to reach {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A client of a dev server that all tests share; each uses task queues and run ids of its own."""
    async with open_server(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest_asyncio.fixture
async def time_skipping(tmp_path: Path) -> AsyncIterator[WorkflowEnvironment]:
    """A server on which days pass at once, one per test, since time is shared by all that runs on it."""
    async with open_skipping_server(tmp_path) as environment:
        yield environment


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        yield opened


@pytest.fixture
def port() -> Iterator[int]:
    """For something that is to listen there, and nobody else's until then."""
    with open_berth() as found:
        yield found


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """For programs of ours that need not be started from nothing."""
    with open_python(PROJECT) as python:
        yield python


@pytest_asyncio.fixture
async def business(tmp_path: Path) -> AsyncIterator[Business]:
    """Worker and server as processes of their own, in a home of their own."""
    opened = Business(tmp_path)
    opened.start_worker()
    yield opened
    opened.stop()
