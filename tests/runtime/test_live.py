"""A run followed live: what agents say while they say it, what they call, retries, steps; and no trace of it left."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.model import speech
from contracts.live import (
    LIVE_EVENT,
    Answered,
    LiveEvent,
    Retried,
    RunEnded,
    Said,
    TextAdded,
    ToolEnded,
    ToolStarted,
    TurnStarted,
)
from contracts.settings import ModelAlias
from contracts.tools import Tool, ToolContext, tool
from runtime.live import follow
from tests.endpoint import Endpoint
from tests.streams import DONE, event, pieces
from tests.workflows.office import Office, open_office

WORDS = "The invoice matches its order, and nothing is amiss."


@pytest_asyncio.fixture
async def office(
    client: Client, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setattr(speech, "LIVE_SECONDS", 0.02)
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
    quick = timedelta(seconds=0.02)
    async with open_office(
        client, home=tmp_path, models=models, more=balking, max_heartbeat_throttle_interval=quick
    ) as opened:
        yield opened


def balking(office: Office) -> list[Tool[..., Any]]:
    @tool(name="do.balk", effect="read")
    async def balk(ctx: ToolContext) -> None:
        """Fail, then last until the test lets it go."""
        if ctx.attempt == 1:
            raise ConnectionError("no line")
        await office.gates[ctx.step].wait()

    return [balk]


PROCESS = """
    process: followed
    agents:
      clerk: {instructions: You are a clerk., tools: [do.work, do.look]}
    steps:
      ask: {agent: clerk, task: Look into it.}
"""


def words(text: str) -> list[str]:
    return [event({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in pieces(text)]


END = (event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), DONE)


async def followed(office: Office, run: str, on: Callable[[LiveEvent], None] = lambda _: None) -> list[LiveEvent]:
    """Every event to the end, each as it is after a journey as JSON."""
    events: list[LiveEvent] = []
    async for made in follow(office.client, run):
        on(made)
        events.append(LIVE_EVENT.validate_json(made.model_dump_json()))
    return events


async def test_what_an_agent_does_is_told_in_order(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_look", {}), ("do_work", {"fails": True}), text="Let me see.")
    half = threading.Event()
    endpoint.stream(*words(WORDS[:30]), half, *words(WORDS[30:]), *END)
    run = await office.start(PROCESS)

    def let_go(made: LiveEvent) -> None:
        if isinstance(made, TextAdded) and made.turn == 2:
            half.set()

    events = await followed(office, run.id, let_go)
    kinds: list[str] = [made.event for made in events]
    order = ["turn", "said", "tool_started", "tool_ended", "turn", "text", "said", "answer", "step", "ended"]
    left = list(kinds)
    for kind in order:
        del left[: left.index(kind) + 1]
    first, second = (made for made in events if isinstance(made, Said))
    assert (first.text, first.calls, first.finish) == ("Let me see.", ("do.look", "do.work"), "tool_calls")
    assert (second.turn, second.text, second.model) == (2, WORDS, "test-model")
    started = {made.tool: made.arguments for made in events if isinstance(made, ToolStarted)}
    assert started == {"do.look": {}, "do.work": {"fails": True}}
    errors = {made.tool: made.error for made in events if isinstance(made, ToolEnded)}
    assert errors == {"do.look": None, "do.work": "ask is broken"}
    assert [(made.output, made.turns) for made in events if isinstance(made, Answered)] == [(WORDS, 2)]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "completed"
    assert "".join(made.text for made in events if isinstance(made, TextAdded) and made.turn == 2) in WORDS


async def test_history_holds_no_chunk_of_what_was_said(office: Office, endpoint: Endpoint) -> None:
    gates = [threading.Event() for _ in range(4)]
    parts: list[str | threading.Event] = []
    for number, gate in enumerate(gates):
        parts += [*words(f"chunk number {number}. "), gate]
    endpoint.stream(*parts, *END)
    run = await office.start(PROCESS)
    seen: list[str] = []

    def let_go(made: LiveEvent) -> None:
        if isinstance(made, TextAdded):
            seen.append(made.text)
            for number, gate in enumerate(gates):
                if f"number {number}. " in "".join(seen):
                    gate.set()

    await followed(office, run.id, let_go)
    assert len(seen) >= len(gates)
    for workflow_id in (run.id, f"{run.id}/ask"):
        history = await office.client.get_workflow_handle(workflow_id).fetch_history()
        kinds = [made.event_type for made in history.events]
        text = json.dumps(history.to_json_dict())
        assert len(kinds) < 30
        for part in seen[:-1]:
            assert f'"{part}"' not in text
    turn = await office.client.get_workflow_handle(f"{run.id}/ask").fetch_history()
    assert len([made for made in turn.events if made.HasField("activity_task_scheduled_event_attributes")]) == 1


def once_told(text: str, gate: threading.Event) -> Callable[[LiveEvent], None]:
    """Opens the gate when all of this has been told, in however many parts."""
    told: list[str] = []

    def let_go(made: LiveEvent) -> None:
        if isinstance(made, TextAdded):
            told.append(made.text)
            if text in "".join(told):
                gate.set()

    return let_go


async def test_a_retry_is_told_with_its_reason_and_voids_what_was_said(office: Office, endpoint: Endpoint) -> None:
    half = threading.Event()
    endpoint.stream(*words("I was about to say"), half, cut=1)
    endpoint.stream(*words(WORDS), *END)
    run = await office.start(PROCESS)
    events = await followed(office, run.id, once_told("I was about to say", half))
    retry = next(made for made in events if isinstance(made, Retried))
    assert (retry.turn, retry.tool, retry.attempt) == (1, None, 2)
    assert endpoint.url in retry.reason
    before = events[: events.index(retry)]
    assert "".join(made.text for made in before if isinstance(made, TextAdded)) == "I was about to say"
    assert next(made.text for made in events if isinstance(made, Said)) == WORDS


async def test_an_answer_cut_off_is_asked_for_once_more_and_said_to_be(office: Office, endpoint: Endpoint) -> None:
    endpoint.say("half of", finish="length")
    endpoint.say(WORDS)
    run = await office.start(PROCESS)
    events = [made async for made in follow(office.client, run.id, past=True)]
    assert [(made.turn, made.longer) for made in events if isinstance(made, TurnStarted)] == [(1, False), (1, True)]
    assert [made.finish for made in events if isinstance(made, Said)] == ["length", "stop"]


async def test_a_tools_retry_is_told_too(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_balk", {}))
    endpoint.say("done")
    run = await office.start(PROCESS.replace("do.look", "do.balk"))

    def let_go(made: LiveEvent) -> None:
        if isinstance(made, Retried):
            office.gates["ask"].set()

    events = await followed(office, run.id, let_go)
    retry = next(made for made in events if isinstance(made, Retried))
    assert (retry.tool, retry.attempt, retry.turn) == ("do.balk", 2, 1)
    assert "no line" in retry.reason


async def test_the_next_model_of_a_chain_voids_what_the_first_one_said(
    client: Client, endpoint: Endpoint, tmp_path: Path, office: Office
) -> None:
    models = {name: ModelAlias(model=name, base_url=endpoint.url) for name in ("first", "second")}
    half, whole = threading.Event(), threading.Event()
    endpoint.stream(*words("I am"), half, event({"error": {"code": "insufficient_quota", "message": "no"}}))
    endpoint.stream(*words("Me neither."), whole, *END)
    quick = timedelta(seconds=0.02)
    (tmp_path / "b").mkdir()
    async with open_office(client, home=tmp_path / "b", models=models, max_heartbeat_throttle_interval=quick) as chain:
        run = await chain.start(PROCESS.replace("clerk.,", "clerk., model: [first, second],"))

        first, second = once_told("I am", half), once_told("Me neither.", whole)

        def let_go(made: LiveEvent) -> None:
            first(made)
            second(made)

        events = await followed(chain, run.id, let_go)
    retry = next(made for made in events if isinstance(made, Retried))
    assert (retry.attempt, retry.reason) == (1, "first failed; second answers")
    texts = [made.text for made in events if isinstance(made, TextAdded)]
    assert texts[0] == "I am"
    assert "".join(texts[1:]) == "Me neither."


async def test_one_who_comes_late_hears_the_rest(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_held", {}))
    endpoint.say(WORDS)
    run = await office.start(PROCESS.replace("do.look", "do.held"))
    await office.started["ask"].wait()

    def let_go(made: LiveEvent) -> None:
        if isinstance(made, ToolStarted):
            office.gates["ask"].set()

    events = await followed(office, run.id, let_go)
    assert [made.text for made in events if isinstance(made, Said)] == ["", WORDS]
    again = await followed(office, run.id)
    assert [made.event for made in again] == ["step", "ended"]
    whole = [made.text async for made in follow(office.client, run.id, past=True) if isinstance(made, Said)]
    assert whole == ["", WORDS]


async def test_many_watchers_see_the_same_and_the_run_is_asked_no_more_for_it(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(("do_held", {}))
    endpoint.say(WORDS)
    run = await office.start(PROCESS.replace("do.look", "do.held"))
    watchers, there = 8, 0

    def let_go(made: LiveEvent) -> None:
        nonlocal there
        there += isinstance(made, ToolStarted)
        if there == watchers:
            office.gates["ask"].set()

    seen = await asyncio.gather(*(followed(office, run.id, let_go) for _ in range(watchers)))
    told = [[made.text for made in events if isinstance(made, Said)] for events in seen]
    assert told == [["", WORDS]] * watchers
    assert len(endpoint.requests) == 2
    child = await office.client.get_workflow_handle(f"{run.id}/ask").fetch_history()
    scheduled = [made for made in child.events if made.HasField("activity_task_scheduled_event_attributes")]
    assert len(scheduled) == 3
