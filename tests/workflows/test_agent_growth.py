"""Conversations that grow: history a turn stays what it was, continue-as-new loses nothing, a full window is made room
in, and an agent that learns nothing new is stopped."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.servers import hasty, open_server
from tests.workflows.office import Office, Run, open_office

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUGGESTED_AFTER_EVENTS = 120
MAX_BYTES_A_TURN = 4_500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty_client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A server that suggests to continue as new soon."""
    async with open_server(tmp_path_factory.mktemp("home"), hasty(SUGGESTED_AFTER_EVENTS)) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def office(hasty_client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(hasty_client, home=tmp_path, models=models(endpoint)) as opened:
        yield opened


def models(endpoint: Endpoint) -> dict[str, ModelAlias]:
    return {
        "default": ModelAlias(model="m", base_url=endpoint.url),
        "small": ModelAlias(model="m", base_url=endpoint.url, window=4_000),
    }


def process(agent: str = "limits: {turns: 1000}") -> str:
    return f"""
        process: with-agent
        agents:
          clerk: {{instructions: You are a clerk., tools: [do.fetch], {agent}}}
        steps:
          ask: {{agent: clerk, task: Read every page.}}
        output: ${{ steps.ask.output }}
    """


def reader(pages: int, size: int = 2_000) -> Callable[[Asked], Answered]:
    """A model that reads a page a turn, then answers. It counts a token for every four bytes of what it was sent."""

    def answer(asked: Asked) -> Answered:
        read = sum(len(message.get("tool_calls") or ()) for message in asked.messages)
        calls = (("do_fetch", {"page": read, "size": size}),) if read < pages else ()
        usage = (len(json.dumps(asked.messages)) // 4, 20)
        made = completion(asked, "" if calls else "all read", calls, "stop", usage)
        for call in made["choices"][0]["message"].get("tool_calls", ()):
            call["id"] = f"call_{read:024d}"
        return Answered(body=json.dumps(made))

    return answer


async def generations(run: Run) -> list[list[HistoryEvent]]:
    """The histories of a run's agent, one for each time it continued as new."""
    client, child = run.office.client, f"{run.id}/ask"
    found: list[list[HistoryEvent]] = []
    run_id = (await client.get_workflow_handle(child).describe()).raw_description.workflow_execution_info.first_run_id
    while run_id:
        history = await client.get_workflow_handle(child, run_id=run_id).fetch_history()
        found.append(list(history.events))
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run_id = last.new_execution_run_id
    return found


def bytes_of_turns(histories: list[list[HistoryEvent]]) -> list[int]:
    """Bytes of history from one model call to the next, of each turn in all generations."""
    turns: list[int] = []
    for events in histories:
        for event in events:
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == "surefoot.call_model":
                turns.append(0)
            if turns:
                turns[-1] += event.ByteSize()
    return turns


def pages_read(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"].split()[1] for message in messages if message["role"] == "tool"]


async def test_an_agent_continues_as_new_by_itself_and_its_conversation_stays_whole(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.default = reader(30)
    run = await office.start(process())
    assert (await run.handle.result()).output == "all read"
    histories = await generations(run)
    assert len(histories) >= 3
    assert pages_read(endpoint.requests[-1].messages) == [str(page) for page in range(30)]
    turns = bytes_of_turns(histories)
    assert len(turns) == len(endpoint.requests) == 31
    assert median(turns) < MAX_BYTES_A_TURN
    assert (await run.view()).cost.calls == 31


@pytest.mark.long
async def test_500_turns_cost_the_same_history_from_first_to_last(
    client: Client, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.default = reader(500)
    async with open_office(client, home=tmp_path, models=models(endpoint)) as office:
        run = await office.start(process())
        assert (await run.handle.result()).output == "all read"
        histories = await generations(run)
    assert len(histories) > 1
    assert pages_read(endpoint.requests[-1].messages) == [str(page) for page in range(500)]
    turns = bytes_of_turns(histories)
    first, last = sum(turns[1:21]) / 20, sum(turns[-21:-1]) / 20
    assert max(first, last) < MAX_BYTES_A_TURN
    assert abs(first - last) < 100
    assert sum(event.ByteSize() for events in histories for event in events) / 500 < MAX_BYTES_A_TURN


def is_valid(messages: list[dict[str, Any]]) -> bool:
    """Whether every result follows the call it is of, and every call has its result."""
    asked: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in asked:
                return False
            asked.remove(message["tool_call_id"])
        elif asked:
            return False
        asked += [call["id"] for call in message.get("tool_calls") or ()]
    return not asked


@pytest.mark.parametrize("policy", ["drop_results", "summarise"])
async def test_a_conversation_that_fills_its_window_is_shortened_and_stays_valid(
    office: Office, endpoint: Endpoint, policy: str
) -> None:
    pages = iter(range(20))

    def answer(asked: Asked) -> Answered:
        if "about to be shortened" in (asked.messages[-1].get("content") or ""):
            return Answered(body=json.dumps(completion(asked, "Page 0 was dull.", (), "stop", (50, 10))))
        page = next(pages, None)
        calls = () if page is None else (("do_fetch", {"page": page}),)
        usage = (len(json.dumps(asked.messages)) // 4, 20)
        made = completion(asked, "" if calls else "all read", calls, "stop", usage)
        for call in made["choices"][0]["message"].get("tool_calls", ()):
            call["id"] = f"call_{page}"
        return Answered(body=json.dumps(made))

    endpoint.default = answer
    run = await office.start(process(f"model: small, compaction: {{policy: {policy}}}, limits: {{turns: 100}}"))
    assert (await run.handle.result()).output == "all read"
    assert all(is_valid(asked.messages) for asked in endpoint.requests)
    assert max(len(json.dumps(asked.messages)) // 4 for asked in endpoint.requests) < 4_000
    last = endpoint.requests[-1].messages
    assert last[:2] == endpoint.requests[0].messages
    assert pages_read(last)[-1] == "19"
    assert any("Page 0 was dull." in (message.get("content") or "") for message in last) == (policy == "summarise")
    notes = [note for step in (await run.view()).steps for note in step.notes if note.kind == "compaction"]
    assert len(notes) >= 2
    assert ("turns were summed up" if policy == "summarise" else "old tool results were taken out") in notes[0].text
    turns = bytes_of_turns(await generations(run))
    assert sum(turns) / len(turns) < 2 * MAX_BYTES_A_TURN


async def test_an_endpoint_that_finds_the_conversation_too_long_gets_it_shortened_once(
    office: Office, endpoint: Endpoint
) -> None:
    def answer(asked: Asked) -> Answered:
        if len(json.dumps(asked.messages)) > 14_000:
            error = {"code": "context_length_exceeded", "message": "maximum context length is 3500 tokens"}
            return Answered(400, json.dumps({"error": error}))
        return reader(8)(asked)

    endpoint.default = answer
    run = await office.start(process())
    assert (await run.handle.result()).output == "all read"
    assert is_valid(endpoint.requests[-1].messages)
    kinds = [note.kind for step in (await run.view()).steps for note in step.notes]
    assert kinds == ["compaction"]


async def test_a_conversation_that_is_to_be_kept_stops_its_agent_with_an_incident(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.default = reader(100)
    run = await office.start(process("model: small, compaction: {policy: keep}, limits: {turns: 100}"))
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "ConversationTooLong"
    assert "its model takes 4000" in error.message
    assert "set agents.clerk.compaction" in error.message


async def test_an_agent_that_repeats_itself_is_told_once_then_stopped_with_what_it_has(
    office: Office, endpoint: Endpoint
) -> None:
    def answer(asked: Asked) -> Answered:
        calls = (("do_fetch", {"page": 7}),)
        return Answered(body=json.dumps(completion(asked, "Let me see.", calls, "stop", (100, 20))))

    endpoint.default = answer
    run = await office.start(process())
    view = await run.parked("ask")
    error = view.incidents[0].error
    assert error.type == "Repeating"
    assert error.detail["so_far"] == "Let me see."
    assert "do.fetch" in error.detail["call"]
    assert len(endpoint.requests) == 4
    told = [message for message in endpoint.requests[-1].messages if message["role"] == "user"][1:]
    assert ["You made the same call 3 times" in message["content"] for message in told] == [True]
    assert [note.kind for note in view.steps[0].notes] == ["repeat"]


async def test_calls_in_a_circle_are_repeats_too_and_progress_between_them_is_not(
    office: Office, endpoint: Endpoint
) -> None:
    for page in (1, 2, 1, 3, 1, 4, 1, 5, 1, 2):
        endpoint.call(("do_fetch", {"page": page}))
    endpoint.default = lambda asked: Answered(
        body=json.dumps(
            completion(asked, "", (("do_fetch", {"page": 1 + len(endpoint.requests) % 2}),), "stop", (100, 20))
        )
    )
    run = await office.start(process())
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "Repeating"
    assert 10 < len(endpoint.requests) < 20
