"""Temporal servers for tests: the real one, in memory."""

import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from contracts.names import SEARCH_ATTRIBUTES
from runtime.client import compression_to, data_converter, ensure_search_attributes
from runtime.server import HOST, server_options, temporal_binary, time_skipping_binary
from runtime.settings import Settings

PORTS = range(20_000, 32_000, 2)
"""Of servers, below those that are given to whoever asks for any."""


class Berth:
    """Two ports that are a test's own while its server is dead too, whoever looks for ports on this machine meanwhile.

    They are bound, and not listened to. What sets SO_REUSEADDR, as servers do, can listen there; what does not, as
    this, cannot have them.
    """

    def __init__(self) -> None:
        for port in random.sample(PORTS, len(PORTS)):
            self._held = [socket.socket(), socket.socket()]
            try:
                for number, held in enumerate(self._held):
                    held.bind((HOST, port + number))
            except OSError:
                self.leave()
                continue
            for held in self._held:  # only now: it was to be nobody else's
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.port = port
            return
        raise AssertionError("no two ports are free")

    def leave(self) -> None:
        for held in self._held:
            held.close()


@contextmanager
def open_berth() -> Iterator[int]:
    """The port of a berth, for the length of the block."""
    berth = Berth()
    try:
        yield berth.port
    finally:
        berth.leave()


SPARING = {"GOGC": "400", "GOMEMLIMIT": "768MiB", "GOMAXPROCS": "1"}
"""In the environment of whatever starts a server: it looks for garbage a quarter as often, which saves a sixth of its
work (measured: 74 tests of workflows on one), and as often as ever before it would take up too much memory. On one
processor it wakes no thread to look for work there is not: a twentieth of all that such tests cost (145 of them, eight
pairs)."""

UP_WITHIN = timedelta(minutes=1)
"""For a server to answer. Five seconds, as the SDK has it, are few where many start at once on a busy machine."""


def hasty(events: int) -> str:
    """Runs continue as new after so many events instead of 4,096."""
    return f"limit.historyCount.suggestContinueAsNew={events}"


@asynccontextmanager
async def open_server(home: Path, *dynamic: str) -> AsyncIterator[Client]:
    """A client of a server of its own, with the options of the embedded one and these dynamic settings, `KEY=VALUE`."""
    with open_berth() as port:  # one that is merely free is sometimes another program's by the time the server starts
        async with await WorkflowEnvironment.start_local(
            port=port,
            dev_server_existing_path=str(temporal_binary()),
            dev_server_extra_args=[*server_options(), *(f"--dynamic-config-value={setting}" for setting in dynamic)],
            dev_server_log_level="error",
            search_attributes=SEARCH_ATTRIBUTES,
            dev_server_startup_timeout=UP_WITHIN,
        ) as environment:
            address = environment.client.service_client.config.target_host
            yield await Client.connect(
                address,
                data_converter=data_converter(Settings(home=home)),
                grpc_compression=compression_to(address),
            )


@asynccontextmanager
async def open_skipping_server(home: Path) -> AsyncIterator[WorkflowEnvironment]:
    """A server on which days pass at once."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(time_skipping_binary()),
        data_converter=data_converter(Settings(home=home)),
        test_server_startup_timeout=UP_WITHIN,
    ) as environment:
        await ensure_search_attributes(environment.client)
        yield environment
