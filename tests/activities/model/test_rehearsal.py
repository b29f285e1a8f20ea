"""The rehearsal model: scripted replies over the agent's real input and results."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import pytest
import pytest_asyncio

from activities.conversations import SqliteConversations
from contracts.messages import tool_error_message, tool_message
from contracts.settings import ModelAlias
from tests.activities.model.conftest import shut
from tests.activities.model.harness import SCHEMA, Desk

SCRIPT = """
    agents:
      auditor:
        - call: [{tool: erp.read_order, with: {id: "${ string(context.amount) }"}}, {tool: mail.send}]
        - when: ${ results[0].total == context.amount }
          answer: {ok: true, turn: "${ turn }", task: "${ task }"}
        - when: ${ false }
          answer: never
        - answer: {ok: false}
"""


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(SqliteConversations(tmp_path / "c.db"), {}, {}, tmp_path / "rehearsal.yaml")
    yield desk
    await shut(desk)


def script(desk: Desk, text: str) -> None:
    assert desk.rehearsal is not None
    desk.rehearsal.write_text(dedent(text))


async def test_calls_then_an_answer_that_depends_on_their_results(stage: Desk) -> None:
    script(stage, SCRIPT)
    stage.begin(output=SCHEMA)
    first = await stage.ask()
    assert (first.finish, first.model, first.rehearsal) == ("tool_calls", "rehearsal", True)
    assert (first.usage.calls, first.usage.rehearsed, first.usage.cost, first.usage.unpriced) == (1, 1, 0.0, 0)
    assert [(call.name, json.loads(call.arguments)) for call in first.message.tool_calls] == [
        ("erp.read_order", {"id": "12"}),
        ("mail.send", {}),
    ]
    stage.add(tool_message(first.message.tool_calls[0].id, {"total": 12}))
    stage.add(tool_message(first.message.tool_calls[1].id, None))
    second = await stage.ask()
    assert json.loads(second.message.content) == {"ok": True, "turn": 2, "task": "Compare invoice 7."}
    for _ in range(2):
        assert json.loads((await stage.ask()).message.content) == {"ok": False}


async def test_a_reply_whose_condition_is_false_is_skipped(stage: Desk) -> None:
    script(stage, SCRIPT)
    calls = (await stage.ask()).message.tool_calls
    stage.add(tool_message(calls[0].id, {"total": 99}))
    stage.add(tool_error_message(calls[1].id, "no line"))
    assert json.loads((await stage.ask()).message.content) == {"ok": False}


async def test_the_same_conversation_gives_the_same_reply_with_the_same_ids(stage: Desk) -> None:
    script(stage, SCRIPT)
    first = await stage.ask()
    stage.begin()
    assert await stage.ask() == first
    assert len({call.id for call in first.message.tool_calls}) == 2


async def test_text_is_text_where_no_schema_is_asked_for(stage: Desk) -> None:
    script(stage, "agents: {auditor: [{answer: 'Amount: ${ context.amount }'}]}")
    assert (await stage.ask()).message.content == "Amount: 12"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agents: {other: [{answer: 1}]}", "auditor"),
        ("agents: {auditor: []}", "auditor"),
        ("agents: [", "rehearsal.yaml"),
        ("agents: {auditor: [{answr: 1}]}", "answr"),
        ("agents: {auditor: [{call: [{tool: mail.send}], answer: 1}]}", "call"),
        ("agents: {auditor: [{answer: '${ context.nothing }'}]}", "nothing"),
        ("agents: {auditor: [{when: '${ 3 }', answer: 1}]}", "true or false"),
        ("agents: {auditor: [{answer: '${ turn'}]}", "never closed"),
        ("", "auditor"),
    ],
)
async def test_a_bad_script_is_named_with_the_way_out(stage: Desk, text: str, says: str) -> None:
    script(stage, text)
    failure = await stage.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", True)
    for part in ("rehearsal.yaml", says, "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        assert part in failure.message


async def test_a_process_without_a_script_says_to_write_one_or_set_a_key(stage: Desk) -> None:
    stage.rehearsal = None
    failure = await stage.failure()
    assert failure.non_retryable
    for part in ("invoice-approval", "rehearsal.yaml", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        assert part in failure.message


async def test_no_script_answers_for_a_model_whose_key_is_missing_while_another_is_set_up(stage: Desk) -> None:
    script(stage, SCRIPT)
    stage.aliases = {"big": ModelAlias(model="big", key_env="BIG_KEY")}
    stage.environment = {"OPENAI_API_KEY": "k"}
    await stage.restart()
    stage.begin(models=("big",))
    failure = await stage.failure()
    assert failure.non_retryable
    assert "BIG_KEY" in failure.message
