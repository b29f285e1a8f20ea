"""Budgets of agents: reserved before a call, settled after it, shared side by side, raised by people, never overrun."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.workflows.office import Office, has_dealt_with, open_office

ASK = '{ask: {from: [{any_of: ["user:ada"]}]}}'


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {
        name: ModelAlias(model=f"model-{name}", base_url=endpoint.url, input_price=1, output_price=10)
        for name in ("default", "cheap")
    }
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


def process(limits: str, *, run_limits: str = "{}", steps: str = "ask: {agent: clerk, task: Read it all}") -> str:
    return f"""
        process: with-limits
        limits: {run_limits}
        agents:
          clerk: {{instructions: You are a clerk., tools: [do.fetch, do.held], limits: {limits}}}
        steps:
          {steps}
    """


def reading(usage: tuple[int, int] = (100, 20)) -> Callable[[Asked], Answered]:
    """A model that never comes to an end."""
    return lambda asked: calling(asked, usage)


def calling(asked: Asked, usage: tuple[int, int] = (100, 20), pages: int = 10_000) -> Answered:
    page = sum(message["role"] == "assistant" for message in asked.messages)
    calls = (("do_fetch", {"page": page, "size": 10}),) if page < pages else ()
    return Answered(body=json.dumps(completion(asked, "" if calls else "done", calls, "stop", usage)))


def honest(asked: Asked) -> Answered:
    """A model that writes as much as it may, and counts a token for every four bytes of what it was sent."""
    sent = len(json.dumps(asked.messages)) // 4
    wrote = min(300, asked.body.get("max_completion_tokens", 300))
    return calling(asked, (sent, wrote))


async def test_a_limit_of_tokens_is_never_overrun_and_caps_the_last_answer(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = honest
    run = await office.start(process("{tokens: 3000, turns: 100}"))
    error = (await run.parked("ask")).incidents[0].error
    assert (error.type, error.detail["limit"]) == ("LimitReached", "tokens")
    used = (await run.view()).cost.tokens
    assert 2_000 < used <= 3_000
    assert len(endpoint.requests) > 3


async def test_a_call_that_does_not_fit_into_what_is_left_is_not_made(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = reading()
    run = await office.start(process("{tokens: 120}"))
    error = (await run.parked("ask")).incidents[0].error
    assert "0 tokens used of 120, and the next turn sends about" in error.message
    assert endpoint.requests == []


async def test_at_eighty_percent_of_a_limit_there_is_one_warning(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = reading()
    run = await office.start(process("{turns: 10}"))
    (step,) = (await run.parked("ask")).steps
    assert [(note.kind, note.text) for note in step.notes] == [
        ("warning", "clerk has used 80% of its limit of turns (10)")
    ]


async def test_what_a_stopped_agent_has_so_far_is_in_the_incident(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_fetch", {"page": 1}), text="The first page says nothing.")
    endpoint.call(("do_fetch", {"page": 2}))
    run = await office.start(process("{turns: 2}"))
    detail = (await run.parked("ask")).incidents[0].error.detail
    assert detail == {"limit": "turns", "turns": 2, "so_far": "The first page says nothing."}


async def test_an_answer_cut_off_counts_and_there_is_no_second_try_beyond_the_limit(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.say("only half of", finish="length")
    run = await office.start(process("{turns: 1}"))
    error = (await run.parked("ask")).incidents[0].error
    assert error.detail["limit"] == "turns"
    assert len(endpoint.requests) == 1
    assert (await run.view()).cost.calls == 1


async def test_a_cheaper_model_takes_over_with_a_quarter_on_top_and_no_more(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = reading()
    run = await office.start(process("{turns: 4, at_limit: {model: cheap}}"))
    view = await run.parked("ask")
    assert [asked.body["model"] for asked in endpoint.requests] == ["model-default"] * 4 + ["model-cheap"]
    assert "cheap answers from here on" in next(note.text for note in view.steps[0].notes if note.kind == "limit")
    assert view.incidents[0].error.type == "LimitReached"


async def test_people_raise_a_limit_by_as_much_again_or_by_what_they_write(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = reading()
    run = await office.start(process(f"{{turns: 2, at_limit: {ASK}}}"))
    (waiting,) = (await run.waiting("ask/ask-1")).waiting
    assert waiting.title == "clerk is at its limit: 2 turns used of 2. May it have as much again?"
    await run.decide("ask/ask-1", "approve", "user:ada")
    await run.waiting("ask/ask-2")
    assert len(endpoint.requests) == 4
    await run.decide("ask/ask-2", "approve", "user:ada", edits={"turns": 1})
    await run.waiting("ask/ask-3")
    assert len(endpoint.requests) == 5
    await run.decide("ask/ask-3", "reject", "user:ada", comment="enough")
    view = await run.parked("ask")
    assert "user:ada gave it no more: enough" in view.incidents[0].error.message
    assert len(endpoint.requests) == 5


def side_by_side(names: tuple[str, ...], *, task: str = "Read it all") -> str:
    return "{" + ", ".join(f"{name}: {{agent: clerk, task: {task}, on_failure: continue}}" for name in names) + "}"


async def test_agents_side_by_side_share_a_run_s_turns_and_use_no_more_and_no_less(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.default = reading()
    steps = f"all: {{steps: {side_by_side(('a', 'b', 'c'))}}}"
    run = await office.start(process("{turns: 100}", run_limits="{turns: 25}", steps=steps))
    await run.handle.result()
    view = await run.view()
    assert len(endpoint.requests) == view.cost.calls == 25
    errors = [step.error for step in view.steps if step.error]
    assert [error.type for error in errors] == ["LimitReached"] * 3
    assert "the run has no turns left; raise its limits.turns" in errors[0].message


async def test_an_agent_at_work_does_not_hold_up_another_under_the_same_budget(
    office: Office, endpoint: Endpoint
) -> None:
    def answer(asked: Asked) -> Answered:
        if "Wait" in asked.messages[1]["content"] and asked.messages[-1]["role"] != "tool":
            return Answered(body=json.dumps(completion(asked, "", (("do_held", {}),), "tool_calls", (100, 20))))
        return calling(asked, pages=3)

    endpoint.default = answer
    steps = "{slow: {agent: clerk, task: Wait}, quick: {agent: clerk, task: Read}}"
    run = await office.start(
        process("{turns: 50}", run_limits="{turns: 20, tokens: 100000, cost: 1}", steps=f"all: {{steps: {steps}}}")
    )
    await office.started["all.slow"].wait()
    await run.until(lambda view: any(step.id == "all.quick" and step.status == "completed" for step in view.steps))
    assert await run.status_of("all.slow") == "running"
    office.gates["all.slow"].set()
    await run.handle.result()


async def test_a_retry_after_a_limit_grants_it_anew_and_the_run_counts_both(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = reading()
    run = await office.start(process("{turns: 2}", run_limits="{turns: 3}"))
    await run.parked("ask")
    await run.repair("ask", "retry")
    view = await run.until(lambda view: len(endpoint.requests) == 3 and bool(view.incidents))
    assert "the run has no turns left" in view.incidents[0].error.message
    assert view.cost.calls == 3


async def test_an_answer_that_cannot_be_read_and_is_tried_again_counts(office: Office, endpoint: Endpoint) -> None:
    endpoint.raw('{"choices": [], "usage": {"prompt_tokens": 500, "completion_tokens": 40}}')
    endpoint.say("done")
    run = await office.start(process("{tokens: 5000}"))
    await run.handle.result()
    cost = (await run.view()).cost
    assert (cost.tokens, cost.calls) == (540 + 120, 1)
    assert cost.amount == pytest.approx((600 * 1 + 60 * 10) / 1e6)


async def test_a_limit_of_cost_holds_at_the_real_price(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = honest
    run = await office.start(process("{cost: 0.02, turns: 100}"))
    error = (await run.parked("ask")).incidents[0].error
    assert error.detail["limit"] == "cost"
    assert "USD are left for model-default" in error.message
    assert 0.01 < (await run.view()).cost.amount <= 0.02


async def test_people_give_an_agent_more_time_when_an_answer_takes_too_long(office: Office, endpoint: Endpoint) -> None:
    late = threading.Event()
    endpoint.raw("{}", until=late)
    endpoint.say("done")
    run = await office.start(process(f"{{time: 1s, at_limit: {ASK}}}"))
    await run.waiting("ask/ask-1")
    late.set()
    await run.decide("ask/ask-1", "approve", "user:ada", edits={"time": "1h"})
    await run.handle.result()
    assert "gave it more: time 1h" in (await run.view()).steps[0].notes[-1].text


async def test_a_conversation_s_gauges_are_in_the_agent_s_view(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_held", {}))
    endpoint.say("done")
    run = await office.start(process("{turns: 5}"))
    await office.started["ask"].wait()
    seen: Any = await office.client.get_workflow_handle(f"{run.id}/ask").query("view")
    assert seen["window"]["used"] == 120
    assert seen["history"]["events"] > 5
    assert seen["history"]["suggested"] is False
    history = (await run.view()).history
    assert history is not None
    assert history.bytes > 0
    office.gates["ask"].set()
    await run.handle.result()


async def test_a_run_that_is_cancelled_while_an_agent_waits_for_its_share_ends(
    office: Office, endpoint: Endpoint
) -> None:
    def answer(asked: Asked) -> Answered:
        if "Wait" in asked.messages[1]["content"]:
            return Answered(body=json.dumps(completion(asked, "", (("do_held", {}),), "tool_calls", (100, 20))))
        return calling(asked)

    endpoint.default = answer
    steps = "{slow: {agent: clerk, task: Wait}, quick: {agent: clerk, task: Read}}"
    run = await office.start(process("{turns: 50}", run_limits="{turns: 2}", steps=f"all: {{steps: {steps}}}"))
    await office.started["all.slow"].wait()
    quick = office.client.get_workflow_handle(f"{run.id}/all.quick")
    await run.until(lambda view: len(endpoint.requests) == 2)
    await until_it_waits(quick)
    await run.cancel()
    slow = office.client.get_workflow_handle(f"{run.id}/all.slow")
    await has_dealt_with(slow, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    office.gates["all.slow"].set()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert (await run.view()).status == "cancelled"
    assert len(endpoint.requests) == 2


async def until_it_waits(agent: WorkflowHandle[Any, Any]) -> None:
    async with asyncio.timeout(60):
        while "waits for more" not in (await agent.query("view"))["last"]:
            await asyncio.sleep(0.02)
