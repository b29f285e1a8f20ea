"""Large results of an agent's calls: shown in part, read on in, and never whole in the history.

The model is a real HTTP endpoint that answers as the test says.
"""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.results import SHOWN, SHOWN_WHOLE
from contracts.settings import ModelAlias
from contracts.tools import Tool, tool
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.workflows.office import Office, open_office

SIGNS = "aé漢🙂"


def library(office: Office) -> list[Tool[..., Any]]:
    @tool(name="book.read", effect="read")
    async def read(size: int) -> str:
        """So many characters, one to four bytes each."""
        return (SIGNS * (size // 4 + 1))[:size]

    return [read]


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
    async with open_office(client, home=tmp_path, models=models, more=library) as opened:
        yield opened


PROCESS = """
    process: reading
    agents: {clerk: {instructions: You read., tools: [book.read]}}
    steps:
      read: {agent: clerk, task: Read.}
    output: ${ steps.read.output }
"""


def read_on(asked: Asked) -> Answered:
    """Read to the end of the book, and answer with how many characters that were."""
    pieces = [json.loads(each["content"]) for each in asked.messages if each["role"] == "tool"]
    if not pieces:
        return Answered(body=json.dumps(completion(asked, "", (("book_read", {"size": 30_000}),), "tool_calls")))
    if pieces[-1]["next"] is None:
        text = pieces[0]["begins_with"] + "".join(piece["text"] for piece in pieces[1:])
        return Answered(body=json.dumps(completion(asked, text)))
    more = {"result": pieces[0]["result"], "offset": pieces[-1]["next"]}
    return Answered(body=json.dumps(completion(asked, "", (("result_read", more),), "tool_calls")))


async def test_a_large_result_is_read_to_its_end_without_a_sign_lost(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = read_on
    run = await office.start(PROCESS)
    output = (await run.handle.result()).output
    assert json.loads(output) == (SIGNS * 7_500)
    first = json.loads(endpoint.requests[1].messages[-1]["content"])
    assert (first["characters"], len(first["begins_with"]), first["next"]) == (30_002, SHOWN, SHOWN)


async def test_a_result_of_up_to_the_bound_is_shown_whole(office: Office, endpoint: Endpoint) -> None:
    size = (SHOWN_WHOLE - 2) * 4 // 10
    endpoint.call(("book_read", {"size": size}))
    endpoint.say("read")
    run = await office.start(PROCESS)
    await run.handle.result()
    assert json.loads(endpoint.requests[1].messages[-1]["content"]) == (SIGNS * size)[:size]


async def test_ten_megabytes_leave_little_in_the_history(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("book_read", {"size": 3_900_000}))
    endpoint.say("read")
    run = await office.start(PROCESS)
    await run.handle.result()
    assert len(endpoint.requests[1].messages[-1]["content"].encode()) < SHOWN_WHOLE
    agent = office.client.get_workflow_handle(f"{run.id}/read")
    history = await agent.fetch_history()
    assert sum(event.ByteSize() for event in history.events) < 60_000


async def test_only_results_of_its_own_calls_can_be_read(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("result_read", {"result": "0" * 32}))
    endpoint.say("no")
    run = await office.start(PROCESS)
    await run.handle.result()
    assert "no such result of a call of yours" in endpoint.requests[1].messages[-1]["content"]


async def test_a_result_that_is_lost_says_so(office: Office, endpoint: Endpoint, tmp_path: Path) -> None:
    def lose(asked: Asked) -> Answered:
        with sqlite3.connect(tmp_path / "conversations.db") as connection:
            connection.execute("DELETE FROM content")
        result = json.loads(asked.messages[-1]["content"])["result"]
        calls = (("result_read", {"result": result, "offset": SHOWN}),)
        return Answered(body=json.dumps(completion(asked, "", calls, "tool_calls")))

    endpoint.call(("book_read", {"size": 30_000}))
    endpoint.add(lose)
    endpoint.say("lost")
    run = await office.start(PROCESS)
    assert (await run.handle.result()).output == "lost"
    assert "make the call that gave it again" in endpoint.requests[2].messages[-1]["content"]


TEAM = """
    process: reading
    agents:
      lead: {instructions: You are lead., agents: [reader], tools: [process.reading]}
      reader: {instructions: You are reader.}
    steps:
      read: {agent: lead, task: Read.}
    output: ${ steps.read.output }
"""
LONG = SIGNS * 7_500


@pytest.mark.parametrize(
    "call", [("agent_reader", {"task": "Read."}), ("process_reading", {})], ids=["another agent", "a process"]
)
async def test_what_others_give_is_shown_in_part_too(office: Office, endpoint: Endpoint, call: tuple[str, Any]) -> None:
    office.children["reading"] = office.definition(f"""
        process: reading
        input: {{type: object}}
        steps: {{read: {{tool: book.read, with: {{size: {len(LONG)}}}}}}}
        output: ${{ steps.read.output }}
    """)

    def answer(asked: Asked) -> Answered:
        if "reader" in asked.messages[0]["content"]:
            return Answered(body=json.dumps(completion(asked, LONG)))
        pieces = [json.loads(each["content"]) for each in asked.messages if each["role"] == "tool"]
        return read_on(asked) if pieces else Answered(body=json.dumps(completion(asked, "", (call,), "tool_calls")))

    endpoint.default = answer
    run = await office.start(TEAM)
    assert json.loads((await run.handle.result()).output) == LONG
    told = [each for asked in endpoint.requests for each in asked.messages if each["role"] == "tool"]
    assert max(len(each["content"].encode()) for each in told) < 3 * SHOWN_WHOLE
