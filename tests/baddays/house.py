"""A house of its own for a bad day: a Temporal server that can be taken away, real workers, the real `starter.py`."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.names import SEARCH_ATTRIBUTES, VIEW_QUERY
from runtime.client import data_converter
from runtime.server import HOST, server_options, temporal_binary
from runtime.settings import Settings
from tests.business import PROJECT, Said, eventually
from tests.servers import Berth

NONE: Mapping[str, str] = MappingProxyType({})
NAME = "day"
"""Of the process that a house works on."""
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
CHANNEL = """
[[notices]]
name = "hook"
kind = "webhook"
url = "URL/hook"
secret = "env:HOOK_SECRET"
events = ["approval.opened"]
"""


@dataclass
class House:
    """`python`: by which commands are carried out to their end. `environment`: of everything that is started from now
    on. Tools write what they do into `ledger`."""

    home: Path
    python: Path
    environment: dict[str, str] = field(default_factory=dict)
    berth: Berth = field(default_factory=Berth)
    server: "subprocess.Popen[bytes] | None" = None
    children: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def write(self, process: str, tools: str, rehearsal: str | None = None) -> None:
        """The process that the house works on, its tools, and what its agents say."""
        folder = self.home / "processes" / NAME
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "process.yaml").write_text(dedent(process))
        (folder / "tools.py").write_text(dedent(tools))
        if rehearsal is not None:
            (folder / "rehearsal.yaml").write_text(dedent(rehearsal))

    def tell_at(self, base: str) -> None:
        """Have approvals told of there, by a signed webhook."""
        config = self.home / "surefoot.toml"
        config.write_text(CHANNEL.replace("URL", base))
        self.environment |= {"SUREFOOT_CONFIG": str(config), "HOOK_SECRET": SECRET}

    @property
    def address(self) -> str:
        return f"{HOST}:{self.berth.port}"

    def start_server(self, database: Path | None = None, dynamic: Mapping[str, str] = NONE) -> None:
        """On the same port with the same file, whenever it is started. `dynamic`: configuration of the server."""
        port = f"{self.berth.port}"
        options = ["--ip", HOST, "--port", port, "--headless", "--log-level", "error", *server_options()]
        options += ["--db-filename", str(database or self.home / "temporal.db")]
        for key, value in dynamic.items():
            options += ["--dynamic-config-value", f"{key}={value}"]
        for attribute in SEARCH_ATTRIBUTES:
            kind = "KeywordList" if "LIST" in attribute.indexed_value_type.name else "Keyword"
            options += ["--search-attribute", f"{attribute.name}={kind}"]
        self.server = self._start([str(temporal_binary()), "server", "start-dev", *options], "server.log")

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def start_worker(
        self, settings: Mapping[str, str] = NONE, before: tuple[str, ...] = ()
    ) -> "subprocess.Popen[bytes]":
        """`before`: words that go before the command."""
        return self._start([*before, sys.executable, str(PROJECT / "worker.py")], "worker.log", settings)

    def starter(self, *words: str) -> "subprocess.Popen[bytes]":
        """A command that goes on beside the test; what it says is in `starter.log`."""
        return self._start([sys.executable, str(PROJECT / "starter.py"), *words], "starter.log")

    async def say(self, *words: str) -> Said:
        """A command to its end."""
        ended = await asyncio.create_subprocess_exec(
            str(self.python),
            str(PROJECT / "starter.py"),
            *words,
            env=self._environment(NONE),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await ended.communicate()
        return Said(ended.returncode or 0, out.decode(), err.decode())

    async def until_it_works(self) -> None:
        """Until a worker says that it is ready."""

        async def look() -> bool:
            return "is ready" in self.log()

        await eventually(look, bool)

    async def start_run(self, key: str, **given: Any) -> str:
        said = await self.say("run", NAME, "--id", key, "--input", json.dumps(given))
        assert said.status == 0, said.err
        return f"{NAME}-{key}"

    async def until(self, run: str, status: str, seconds: float = 90) -> dict[str, Any]:
        """The run's view once it has this status."""
        return await self.until_view(run, lambda view: view.get("status") == status, seconds)

    async def until_view(
        self, run: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 90
    ) -> dict[str, Any]:
        handle = (await self.client()).get_workflow_handle(run)

        async def look() -> Any:
            try:
                return await handle.query(VIEW_QUERY, rpc_timeout=timedelta(seconds=5))
            except (RPCError, WorkflowQueryFailedError):
                return {}

        seen: dict[str, Any] = await eventually(look, holds, seconds)
        return seen

    async def client(self) -> Client:
        async def connected() -> Client | None:
            try:
                return await Client.connect(self.address, data_converter=data_converter(Settings(home=self.home)))
            except (OSError, ValueError, RuntimeError):
                return None

        found: Client = await eventually(connected, lambda client: client is not None)
        return found

    def ledger(self) -> list[list[str]]:
        file = self.home / "ledger"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def times(self) -> Counter[str]:
        """How often each step had its effect."""
        return Counter(step for step, *_ in self.ledger())

    def log(self, name: str = "worker.log") -> str:
        return (self.home / name).read_text(errors="replace")

    def stop(self) -> None:
        for child in reversed(self.children):
            end(child, signal.SIGKILL)
        self.berth.leave()

    def _start(self, command: list[str], log: str, settings: Mapping[str, str] = NONE) -> "subprocess.Popen[bytes]":
        with (self.home / log).open("ab") as output:
            child = subprocess.Popen(
                command,
                env=self._environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
                start_new_session=True,
            )
        self.children.append(child)
        return child

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        own = {
            "TEMPORAL_ADDRESS": self.address,
            "SUREFOOT_HOME": str(self.home),
            "DAY_LEDGER": str(self.home),
            "SUREFOOT_PROCESSES": str(self.home / "processes"),
            "SUREFOOT_USER": "sam",
            "COLUMNS": "120",
        }
        return {**os.environ, **own, **self.environment, **settings}


def end(child: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    """With what it started: `faketime` runs the worker as a child, which would go on, and work for whoever has its
    server's port next."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, how)
    child.wait()
