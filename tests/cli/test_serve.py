"""Links from the command line, and the server that they lead to as a process of its own."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from runtime.links import PATH, Links
from runtime.settings import PROJECT, Settings
from tests.cli.conftest import Starter, until_waiting


async def asking(starter: Starter, process_file: Path) -> str:
    """A run that waits for alice or bob."""
    run: str = (await starter("run", str(process_file), "--input", '{"item": "bolt"}', "--json")).json["run"]
    await until_waiting(starter, run, "waiting")
    return run


@asynccontextmanager
async def served(settings: Settings, *options: str, **variables: str) -> AsyncIterator[str]:
    """`starter.py serve` as a process; its address."""
    process = await serve(*options, stdout=asyncio.subprocess.DEVNULL, **variables)
    assert process.stderr is not None
    said = await asyncio.wait_for(process.stderr.readline(), 60)
    found = re.search(rb"http://\S+:\d+", said)
    assert found, said + await process.stderr.read()
    yield found[0].decode()
    process.send_signal(signal.SIGTERM)
    await process.wait()


async def serve(
    *options: str, stdout: int = asyncio.subprocess.DEVNULL, **variables: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "starter.py", "serve", *options),
        cwd=PROJECT,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("running")
async def test_a_printed_link_opens_the_page_of_the_server_and_decides(
    starter: Starter, process_file: Path, settings: Settings
) -> None:
    run = await asking(starter, process_file)
    made = (await starter("link", run, "--for", "bob")).out.strip()
    assert made.startswith("http://127.0.0.1:8235/decide/")
    async with served(settings, "--port", "0") as address, httpx2.AsyncClient(timeout=60) as browser:
        link = made.replace("http://127.0.0.1:8235", address)
        assert "You decide as <b>user:bob</b>" in (await browser.get(link)).text
        answer = await browser.post(link, data={"decision": "approve"}, follow_redirects=True)
        assert "sign_off is approved by user:bob" in answer.text
        assert (await browser.get(f"{address}/healthz")).json() == {"temporal": "ok"}
    await until_waiting(starter, run, "completed")


@pytest.mark.slow
@pytest.mark.usefixtures("running")
async def test_a_program_reads_where_it_is_served() -> None:
    process = await serve("--port", "0", "--json", stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    said = json.loads(await asyncio.wait_for(process.stdout.readuntil(b"}\n"), 60))
    assert said == {"address": said["address"], "links": "http://127.0.0.1:8235"}
    async with httpx2.AsyncClient(timeout=60) as browser:
        assert (await browser.get(f"{said['address']}/healthz")).json() == {"temporal": "ok"}
    process.send_signal(signal.SIGTERM)
    await process.wait()


@pytest.mark.usefixtures("running")
async def test_a_link_is_for_one_whose_decision_would_count(
    starter: Starter, process_file: Path, settings: Settings
) -> None:
    run = await asking(starter, process_file)
    answer = await starter("link", run, "sign_off", "--for", "user:bob", "--json", "--expires", "2h")
    assert (answer.status, answer.json["for"], answer.json["step"]) == (0, "user:bob", "sign_off")
    link = Links.open(settings, {}).read(answer.json["link"].rpartition(PATH)[2])
    assert (link.run, link.step, link.person) == (run, "sign_off", "user:bob")
    for arguments, said in (
        ((run, "--for", "carol"), "user:carol on sign_off"),
        ((run, "--for", "carol"), "it waits for user:alice, user:bob"),
        ((run, "stock", "--for", "bob"), "stock of"),
        ((run, "--for", "b o b"), "is no name of a person"),
        ((run, "--for", "bob", "--expires", "8d"), "at most 7d (links.expires)"),
        ((run, "--for", "bob", "--expires", "soon"), "'soon' is no duration"),
        (("no-such-run", "--for", "bob"), "there is no run"),
    ):
        refused = await starter("link", *arguments)
        assert refused.status == 2, arguments
        assert said in refused.err
        assert PATH not in refused.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "variables", "status", "said"),
    [
        (("--host", "0.0.0.0"), {}, 2, b"other machines can reach it, but links lead to http://127.0.0.1:8235"),  # noqa: S104
        ((), {"SUREFOOT_LINKS__KEYS": '["env:NO_KEY"]'}, 2, b"links.keys: the variable NO_KEY is not set"),
        ((), {"SUREFOOT_LINKS__URL": "approvals.acme.example"}, 2, b"SUREFOOT_LINKS__URL"),
        ((), {"TEMPORAL_ADDRESS": "127.0.0.1:1"}, 3, b"cannot be reached"),
    ],
)
async def test_it_does_not_start_where_links_would_not_lead_or_could_not_be_read(
    settings: Settings, options: tuple[str, ...], variables: dict[str, str], status: int, said: bytes
) -> None:
    process = await serve("--port", "0", *options, stdout=asyncio.subprocess.DEVNULL, **variables)
    _, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == status
    assert said in error
