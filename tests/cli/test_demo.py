"""The demo as a newcomer runs it: a process of its own, at a terminal and without one."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.settings import PROJECT
from tests.servers import SPARING

DEMO = (sys.executable, "starter.py", "demo")
RUN = "employee-onboarding-demo"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "a home with spaces"
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "SUREFOOT_HOME": str(home),
        "SUREFOOT_PACE": "0",
        "LANG": "C.UTF-8",
        "SUREFOOT_USER": "sam",
        **SPARING,
    }


class Terminal:
    """A program at a pseudo terminal of 100 columns."""

    def __init__(self, process: asyncio.subprocess.Process, handle: int) -> None:
        self.process = process
        self._handle = handle
        self._said = bytearray()

    def type(self, keys: str) -> None:
        os.write(self._handle, keys.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def until(self, pattern: str) -> str:
        """What has been shown since the last call, once it has the pattern."""
        loop = asyncio.get_running_loop()
        while not re.search(pattern, self._text()):
            ready = asyncio.Event()
            loop.add_reader(self._handle, ready.set)
            try:
                async with asyncio.timeout(90):
                    await ready.wait()
            except TimeoutError:
                raise AssertionError(f"{pattern!r} was not shown, but:\n{self._text()}") from None
            finally:
                loop.remove_reader(self._handle)
            self._said += os.read(self._handle, 65536)
        text = self._text()
        self._said.clear()
        return text

    def _text(self) -> str:
        return ESCAPES.sub("", self._said.decode(errors="replace"))


@contextlib.asynccontextmanager
async def at_terminal(environment: dict[str, str], *options: str) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        *DEMO, *options, cwd=PROJECT, env={**environment, **size}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        os.close(ours)


async def demo(environment: dict[str, str], *options: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *DEMO, *options, cwd=PROJECT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def effects(environment: dict[str, str]) -> list[Any]:
    with contextlib.closing(sqlite3.connect(Path(environment["SUREFOOT_HOME"]) / "business.db")) as database:
        return list(database.execute("SELECT key, tool, undone_by FROM effects WHERE key NOT LIKE '%/undo'"))


async def test_for_programs_it_approves_prints_the_view_and_starts_afresh_each_time(
    environment: dict[str, str],
) -> None:
    status, out, err = await demo(environment, "--yes", "--json")
    assert status == 0, err
    view = json.loads(out)
    assert (view["run"], view["status"], view["cost"]["rehearsal"]) == (RUN, "completed", True)
    assert "--yes: approving hardware_approval as user:mia" in err
    status, out, err = await demo(environment, "--yes")
    assert status == 0, err
    assert f"{RUN}-2  (started)" in out
    assert "rehearsal model" in out
    assert "of work by hand" in out
    assert "\x1b" not in out
    assert not re.search(r"[ \t]+approving", out)


async def test_without_a_terminal_it_says_which_command_decides_and_waits(environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *DEMO, cwd=PROJECT, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = ""
    while not (found := re.search(rf"approve ({RUN} hardware_approval --by user:mia)", told)):
        told += (line := await process.stdout.readline()).decode()
        assert line, told
    decide = [sys.executable, "starter.py", "approve", *found[1].split()]
    assert await (await asyncio.create_subprocess_exec(*decide, cwd=PROJECT, env=environment)).wait() == 0
    told = (await process.stdout.read()).decode()
    assert await process.wait() == 0
    assert "E-1001" in told


async def test_at_a_terminal_it_shows_the_plan_asks_and_ends_with_the_result(environment: dict[str, str]) -> None:
    async with at_terminal(environment) as terminal:
        shown = await terminal.until(r"\[l\]ater > ")
        for words in ("rehearsal model", "http://127.0.0.1:", "hardware_approval", "Decide as user:mia", "hash"):
            assert words in shown
        terminal.type("r\n")
        await terminal.until("Why is it rejected")
        terminal.type("\n")
        await terminal.until("a rejection needs a reason[^>]*> ")
        terminal.type("approve\n")
        shown = await terminal.until("Ctrl-C stops it")
        for words in ("approved by user:mia", "employee: E-1001", "of work by hand", "completed"):
            assert words in shown
        terminal.interrupt()
        assert await terminal.process.wait() == 0


async def test_a_rejection_at_the_prompt_orders_nothing_and_takes_everything_back(environment: dict[str, str]) -> None:
    async with at_terminal(environment) as terminal:
        await terminal.until(r"\[l\]ater > ")
        terminal.type("r\n")
        await terminal.until("Why is it rejected")
        terminal.type("too dear\n")
        shown = await terminal.until("Ctrl-C stops it")
        assert "too dear" in shown
        assert "undone" in shown
        terminal.interrupt()
        assert await terminal.process.wait() == 1
    applied = effects(environment)
    assert all(undone_by for _, _, undone_by in applied)
    assert "helpdesk.order_hardware" not in {tool for _, tool, _ in applied}


async def test_what_was_interrupted_or_killed_goes_on_and_does_nothing_twice(environment: dict[str, str]) -> None:
    async with at_terminal(environment) as terminal:
        await terminal.until(r"\[l\]ater > ")
        terminal.interrupt()
        shown = await terminal.until("Stopping")
        assert f"{RUN} is safe on the server" in shown
        assert await terminal.process.wait() == 130
    async with at_terminal(environment) as terminal:
        assert "goes on where it was" in await terminal.until(r"\[l\]ater > ")
        terminal.process.kill()
        await terminal.process.wait()
    status, out, err = await demo(environment, "--yes")
    assert status == 0, err
    assert f"{RUN}  (goes on where it was)" in out
    steps = Counter(re.sub(r"\[\d+\]", "", key.removeprefix(f"{RUN}/")) for key, _, _ in effects(environment))
    assert steps == {"record": 1, "accounts": 4, "training": 3, "meeting": 1, "hardware": 1, "welcome": 1}


async def test_the_link_that_it_shows_opens_a_page_that_decides(environment: dict[str, str]) -> None:
    async with at_terminal(environment) as terminal, httpx2.AsyncClient(timeout=60) as browser:
        shown = await terminal.until(r"\[l\]ater > ")
        link = re.findall(r"Or in a browser: (http://127.0.0.1:\d+/decide/[\w-]+)\s", shown)[0]
        page = await browser.get(link)
        assert page.status_code == 200
        for words in ("You decide as <b>user:mia</b>", "A script answers for the agents"):
            assert words in page.text
        page = await browser.post(link, data={"decision": "approve"}, follow_redirects=True)
        assert "hardware_approval is approved by user:mia" in page.text
        assert "was decided elsewhere" in await terminal.until("Ctrl-C stops it")
        assert "Your decision counts" in (await browser.get(link)).text
        terminal.interrupt()
        assert await terminal.process.wait() == 0


async def test_a_decision_made_elsewhere_ends_the_question(environment: dict[str, str]) -> None:
    async with at_terminal(environment) as terminal:
        await terminal.until(r"\[l\]ater > ")
        decide = [sys.executable, "starter.py", "approve", RUN, "--by", "mia"]
        assert await (await asyncio.create_subprocess_exec(*decide, cwd=PROJECT, env=environment)).wait() == 0
        assert "was decided elsewhere" in await terminal.until("Ctrl-C stops it")
        terminal.interrupt()
        assert await terminal.process.wait() == 0


async def test_another_sample_needs_two_people(environment: dict[str, str]) -> None:
    status, _, err = await demo(environment, "--process", "invoice-approval", "--yes")
    assert status == 0, err
    assert "approving sign_off as user:alice" in err
    assert "approving sign_off as user:bob" in err
    assert (await demo(environment, "--process", "nope"))[0] == 2


@pytest.mark.long
async def test_forty_commands_end_without_a_crash(environment: dict[str, str]) -> None:
    async with at_terminal(environment) as terminal:
        await terminal.until(r"\[l\]ater > ")
        command = (sys.executable, "starter.py", "status", RUN, "--json")
        for _ in range(40):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=PROJECT, env=environment, stdout=asyncio.subprocess.PIPE
            )
            out, _err = await process.communicate()
            assert process.returncode == 0
            assert json.loads(out)["status"] == "waiting"
