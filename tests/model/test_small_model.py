"""A real model, small enough for any machine, through the real activities and workflows.

Never its wording: it is 135 million parameters small. Only that what it says arrives, fits and ends.
"""

import asyncio
import json
from typing import Any

import pytest

from activities.model import speech
from contracts.live import LiveEvent, RunEnded, Said, TextAdded
from contracts.run import RunView
from runtime.live import follow
from tests.activities.model.harness import Desk
from tests.workflows.office import Office, Run

pytestmark = pytest.mark.model

FACTS = {
    "type": "object",
    "required": ["risk", "reason", "amount"],
    "additionalProperties": False,
    "properties": {
        "risk": {"enum": ["low", "high"]},
        "reason": {"type": "string", "maxLength": 40},
        "amount": {"type": "integer", "minimum": 0, "maximum": 999},
    },
}
TASK = "An invoice of 120 dollars from a supplier we know. How risky is it to pay? One word."


def process(model: str = "default", tools: str = "[]", limits: str = "{turns: 4}", **step: Any) -> str:
    made = {"agent": "clerk", "task": TASK, **step}
    return f"""
        process: with-model
        agents:
          clerk: {{instructions: You judge invoices., model: {model}, tools: {tools}, limits: {limits}}}
        steps:
          ask: {json.dumps(made)}
        output: ${{ steps.ask.output }}
    """


async def settled(run: Run) -> RunView:
    """The run once it is completed or parked, however slow the machine."""
    async with asyncio.timeout(60):
        while (view := await run.view()).status not in ("completed", "attention"):
            await asyncio.sleep(0.1)
        return view


@pytest.mark.parametrize("model", ["by-schema", "by-finish", "unstreamed"])
async def test_an_answer_fits_its_schema_and_is_counted(model_office: Office, model: str) -> None:
    run = await model_office.start(process(model, output=FACTS))
    view = await settled(run)
    assert view.status == "completed", view.incidents
    answer = view.output
    assert isinstance(answer, dict)
    assert set(answer) == {"risk", "reason", "amount"}
    assert answer["risk"] in ("low", "high")
    assert view.cost.calls >= 1
    assert view.cost.tokens > 20
    assert view.cost.amount > 0
    assert (view.cost.unpriced, view.cost.rehearsal) == (0, False)


async def test_an_answer_that_is_no_object_fits_too(model_office: Office) -> None:
    run = await model_office.start(process(output={"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}))
    view = await settled(run)
    assert view.status == "completed", view.incidents
    assert isinstance(view.output, list)


async def test_what_it_says_is_followed_while_it_says_it(model_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "LIVE_SECONDS", 0.1)
    text = {"type": "string", "minLength": 250, "maxLength": 300}  # So long that it is heard before it ends.
    story = {"type": "object", "required": ["story"], "properties": {"story": text}}
    run = await model_office.start(process(task="Tell a long story of a ship.", output=story))
    events: list[LiveEvent] = [event async for event in follow(model_office.client, run.id)]
    heard = "".join(event.text for event in events if isinstance(event, TextAdded))
    said = next(event for event in events if isinstance(event, Said))
    assert len(heard) > 10
    assert said.text.startswith(heard) or heard in said.text
    assert said.tokens > 0
    assert isinstance(events[-1], RunEnded)


async def test_streamed_or_not_the_same_prompt_counts_the_same(model_desk: Desk) -> None:
    sent = []
    for model in ("default", "unstreamed"):
        model_desk.begin(models=(model,), tools=())
        reply = await model_desk.ask(cap=12)
        assert 0 < reply.usage.output_tokens <= 12
        assert reply.message.content
        sent.append(reply.usage.input_tokens)
    assert sent[0] == sent[1] > 0


@pytest.mark.parametrize("model", ["default", "unstreamed"])
async def test_a_cap_on_output_bites(model_desk: Desk, model: str) -> None:
    model_desk.begin(models=(model,), tools=(), task="Tell a very long story of a ship and its crew.")
    reply = await model_desk.ask(cap=8)
    assert (reply.finish, reply.usage.output_tokens) == ("length", 8)


async def test_an_agent_with_tools_comes_to_an_end_within_its_turns(model_office: Office) -> None:
    short = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    run = await model_office.start(process(tools="[do.look]", limits="{turns: 3, tokens: 1500}", output=short))
    view = await settled(run)
    turns = await model_office.client.get_workflow_handle(f"{run.id}/ask").fetch_history()
    called = {
        event.activity_task_scheduled_event_attributes.activity_id
        for event in turns.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "surefoot.call_model"
    }
    assert 1 <= len({activity.removesuffix("-longer") for activity in called}) <= 3
    if view.status == "attention":
        assert view.incidents[0].error.type in ("LimitReached", "OutputInvalid", "ModelFailed")


async def test_no_token_is_used_beyond_the_limit(model_office: Office) -> None:
    never = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "not": {}}
    run = await model_office.start(process("by-finish", limits="{turns: 9, tokens: 400}", output=never))
    error = (await settled(run)).incidents[0].error
    assert error.type in ("LimitReached", "OutputInvalid", "ModelFailed")
    cost = (await run.view()).cost
    assert cost.calls >= 1
    assert 0 < cost.tokens <= 400


async def test_a_conversation_longer_than_its_window_is_refused_naming_why(model_desk: Desk) -> None:
    model_desk.begin(tools=(), task="word " * 6_000)
    failure = await model_desk.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", True)
    assert "longer than the model takes" in failure.message
