"""Waiting for a state, and other processes that embed a server, for the tests of this folder."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from runtime.settings import PROJECT

T = TypeVar("T")

OWNER = """
import asyncio, sys
import runtime.server
from runtime.server import embedded_server
from runtime.settings import load_settings

async def main():
    runtime.server.PORT, runtime.server.UI_PORT = map(int, sys.argv[1:])
    async with embedded_server(load_settings()) as server:
        print(server.pid, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


async def until(look: Callable[[], T | None], what: str, seconds: float = 60) -> T:
    """What `look` finds, as soon as it finds something."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := look()):
                await asyncio.sleep(0.02)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


async def another_process(home: Path, port: int, script: str = OWNER) -> asyncio.subprocess.Process:
    """A process that embeds a server for as long as its standard input is open, and prints the server's pid. The ports
    are nobody else's: at the usual ones servers of other tests come and go."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        str(port),
        str(port + 1),
        cwd=PROJECT,
        env={**os.environ, "SUREFOOT_HOME": str(home)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def server_pid(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int(await asyncio.wait_for(process.stdout.readline(), 60))
