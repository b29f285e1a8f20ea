"""`status --watch` while an agent speaks, as people and programs run it: another process, reading as it comes."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.live import LIVE_EVENT, LiveEvent, TextAdded
from runtime.settings import PROJECT
from tests.cli.conftest import Starter
from tests.endpoint import Endpoint, open_endpoint
from tests.streams import DONE, event

TALK = """
process: talk
agents:
  clerk: {instructions: You are a clerk., tools: [shop.stock]}
steps:
  ask: {agent: clerk, task: Look into it.}
output: {said: "${ steps.ask.output }"}
"""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        monkeypatch.setenv("OPENAI_BASE_URL", opened.url)
        yield opened


async def watched(starter: Starter, file: Path, endpoint: Endpoint, *more: str) -> tuple[list[str], int | None]:
    """What `status --watch` prints of a run whose agent goes on only once its first words are on the screen."""
    go_on = threading.Event()

    def said(text: str, finish: str | None = None) -> str:
        return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})

    endpoint.call(("shop_stock", {"item": "unicorn"}))
    endpoint.stream(said("There is no\nsuch "), go_on, said("thing."), said("", "stop"), DONE)
    await asyncio.to_thread(file.write_text, TALK)
    started = await starter("run", str(file), "--id", str(uuid4()), "--json")
    assert started.status == 0, started.err
    words = (sys.executable, str(PROJECT / "starter.py"), "status", started.json["run"], "--watch", *more)
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines: list[str] = []
    async for line in process.stdout:
        lines.append(line.decode().rstrip())
        if "There is no" in lines[-1]:
            go_on.set()
    return lines, await process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("running")
async def test_what_an_agent_says_is_printed_while_it_says_it(
    starter: Starter, endpoint: Endpoint, tmp_path: Path
) -> None:
    lines, status = await watched(starter, tmp_path / "talk.yaml", endpoint)
    assert status == 0
    found = [line.strip() for line in lines if line.strip().startswith("ask:")]
    assert "ask: says: There is no" in found
    assert "ask: says: such thing." in found
    assert found[-1] == "ask: answered after 2 turns"
    assert any("completed" in line and "ask" in line for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("running")
async def test_with_json_each_event_is_a_line(starter: Starter, endpoint: Endpoint, tmp_path: Path) -> None:
    lines, status = await watched(starter, tmp_path / "talk.yaml", endpoint, "--json")
    assert status == 0
    events: list[LiveEvent] = [LIVE_EVENT.validate_json(line) for line in lines]
    assert json.loads(lines[-1])["event"] == "ended"
    assert json.loads(lines[-1])["output"] == {"said": "There is no\nsuch thing."}
    assert next(made.text for made in events if isinstance(made, TextAdded)) == "There is no\nsuch "
