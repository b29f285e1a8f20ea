"""An agent's turns: tools inside its grants, answers that fit, limits that bite, history that stays constant a turn.

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

from contracts.agent import AgentView
from contracts.names import VIEW_QUERY
from contracts.run import RunView
from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.workflows.office import Office, open_office
from workflows.agent.tools import MAX_CALLS


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


def process(tools: str = "[do.work, do.look]", limits: str = "{}", **step: Any) -> str:
    made = {"agent": "clerk", "task": "Do it for ${ input.name }.", "with": {"name": "${ input.name }"}, **step}
    return f"""
        process: with-agent
        input: {{type: object}}
        agents:
          clerk: {{instructions: You are a clerk., tools: {tools}, limits: {limits}}}
        steps:
          ask: {json.dumps(made)}
        output: ${{ steps.ask.output }}
    """


RISK = {"type": "object", "required": ["risk"], "properties": {"risk": {"enum": ["low", "high"]}}}


async def test_an_agent_is_told_its_task_calls_tools_and_answers(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_work", {"what": "first"}), ("do_look", {}))
    endpoint.say('{"risk": "low"}')
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.handle.result()).output == {"risk": "low"}
    first, second = endpoint.requests
    assert first.messages[0]["content"].startswith("You are a clerk.")
    assert "Do it for Ada." in first.messages[1]["content"]
    assert '{"name":"Ada"}' in first.messages[1]["content"]
    assert [message["role"] for message in second.messages[2:]] == ["assistant", "tool", "tool"]
    assert json.loads(second.messages[3]["content"])["what"] == "first"
    view = await run.view()
    assert (view.cost.calls, view.cost.tokens) == (2, 240)
    assert view.cost.amount == pytest.approx(2 * (100 * 1 + 20 * 10) / 1e6)


async def test_a_tool_that_is_not_granted_is_never_called(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_work", {"what": "stolen"}))
    endpoint.call(("do.work", {"what": "stolen"}))
    endpoint.say("done")
    run = await office.start(process(tools="[do.look]"), {"name": "Ada"})
    await run.handle.result()
    assert office.ledger == []
    assert "is not one of your tools. Your tools: do.look" in endpoint.requests[1].messages[-1]["content"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [("{not json", "not JSON"), ("[1]", "must be a JSON object"), ('{"wat": 1}', "wat"), ('{"what": 3}', "what")],
)
async def test_malformed_arguments_go_back_to_the_model(
    office: Office, endpoint: Endpoint, arguments: str, told: str
) -> None:
    endpoint.call(("do_work", arguments))
    endpoint.say("sorry")
    run = await office.start(process(), {"name": "Ada"})
    await run.handle.result()
    assert office.ledger == []
    answer = endpoint.requests[1].messages[-1]["content"]
    assert answer.startswith("error: ")
    assert told in answer


async def test_no_more_calls_of_a_turn_are_made_than_the_server_takes(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(*((("do_work", {"what": 3}),) * MAX_CALLS), ("do_work", {"what": "too many"}))
    endpoint.say("sorry")
    run = await office.start(process(), {"name": "Ada"})
    await run.handle.result()
    assert office.ledger == []
    told = [each["content"] for each in endpoint.requests[1].messages if each["role"] == "tool"]
    assert len(told) == MAX_CALLS + 1
    assert told[-1] == "error: do.work: no more than 500 calls are made in one turn; make it again in the next"


async def test_a_tools_error_is_its_result_and_no_failure_of_the_step(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_work", {"fails": True}))
    endpoint.say("it failed")
    run = await office.start(process(), {"name": "Ada"})
    assert (await run.handle.result()).output == "it failed"
    assert endpoint.requests[1].messages[-1]["content"] == "error: ask is broken"


async def test_an_agent_whose_write_came_too_late_sees_the_newer_value_and_writes_again(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(("state_put", {"key": "plan", "value": "mine"}))
    endpoint.call(("state_put", {"key": "plan", "value": "both", "version": 1}))
    endpoint.say("done")
    text = process(tools="[state.*]", needs=["other"]).replace(
        "        steps:\n", "        steps:\n          other: {state: {key: plan, set: theirs}}\n"
    )
    run = await office.start(text, {"name": "Ada"})
    await run.handle.result()
    told = endpoint.requests[1].messages[-1]["content"]
    assert told.startswith("error: state.plan is at version 1")
    assert '"theirs"' in told
    entry = (await run.view()).state["plan"]
    assert (entry.value, entry.version, entry.conflicts, entry.by) == ("both", 2, 1, "step:ask")


async def test_writes_of_one_turn_run_in_the_models_order(office: Office, endpoint: Endpoint) -> None:
    names = [str(number) for number in range(8)]
    endpoint.call(*(("do_work", {"what": name}) for name in names))
    endpoint.say("done")
    run = await office.start(process(), {"name": "Ada"})
    await run.handle.result()
    assert [what for _, _, what in office.ledger] == names


async def test_an_answer_that_does_not_fit_is_corrected_at_most_twice(office: Office, endpoint: Endpoint) -> None:
    endpoint.say("high risk!")
    endpoint.say('{"risk": "none"}')
    endpoint.say('{"risk": "high"}')
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.handle.result()).output == {"risk": "high"}
    assert "not JSON" in endpoint.requests[1].messages[-1]["content"]
    assert "does not fit its schema" in endpoint.requests[2].messages[-1]["content"]


async def test_an_answer_that_does_not_fit_is_quoted_in_part(office: Office, endpoint: Endpoint) -> None:
    for _ in range(3):
        endpoint.say(json.dumps({"x" * 1_400_000: "one"}))
    numbers = {"type": "object", "additionalProperties": {"type": "number"}}
    run = await office.start(process(output=numbers), {"name": "Ada"})
    message = (await run.parked("ask")).incidents[0].error.message
    assert "xxxx" in message
    assert message.endswith('"one" is not of type "number". Answer again, with the JSON value alone.')
    assert len(message) < 2_000


async def test_an_answer_that_never_fits_parks_the_step(office: Office, endpoint: Endpoint) -> None:
    for _ in range(3):
        endpoint.say("no")
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.parked("ask")).incidents[0].error.type == "OutputInvalid"
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("limits", "calls", "limit"),
    [("{turns: 3}", 3, "turns"), ("{tokens: 400}", 2, "tokens"), ("{cost: 0.0017}", 2, "cost")],
)
async def test_a_looping_model_is_stopped_at_its_limit(
    office: Office, endpoint: Endpoint, limits: str, calls: int, limit: str
) -> None:
    endpoint.default = lambda asked: Answered(
        body=json.dumps(completion(asked, "", (("do_look", {}),), "tool_calls", (100, 20)))
    )
    run = await office.start(process(limits=limits), {"name": "Ada"})
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "LimitReached"
    assert f"limits.{limit}" in error.message
    assert len(endpoint.requests) == calls
    assert (await run.view()).cost.calls == calls


async def test_a_401_parks_at_once_naming_the_setting(office: Office, endpoint: Endpoint) -> None:
    endpoint.fail(401, message="bad key", code="invalid_api_key")
    run = await office.start(process(), {"name": "Ada"})
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "ModelFailed"
    assert "answered 401" in error.message
    assert "OPENAI_API_KEY" in error.message
    assert len(endpoint.requests) == 1
    endpoint.say("now it works")
    await run.repair("ask", "retry")
    assert (await run.handle.result()).output == "now it works"


async def test_a_busy_endpoint_is_asked_again_when_it_says(office: Office, endpoint: Endpoint) -> None:
    endpoint.fail(429, code="rate_limit_exceeded", message="slow down", headers={"retry-after-ms": "50"})
    endpoint.say("done")
    run = await office.start(process(), {"name": "Ada"})
    assert (await run.handle.result()).output == "done"


async def test_a_refusal_is_an_outcome_of_the_step(office: Office, endpoint: Endpoint) -> None:
    endpoint.say("", refusal="I will not.")
    run = await office.start(process(on_failure="continue"), {"name": "Ada"})
    assert (await run.handle.result()).output is None
    error = next(step.error for step in (await run.view()).steps if step.id == "ask")
    assert error is not None
    assert error.type == "AnswerRefused"
    assert "I will not." in error.message


async def test_an_answer_cut_for_its_length_is_asked_for_once_more_with_a_higher_cap(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.say('{"risk"', finish="length")
    endpoint.say('{"risk": "low"}')
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.handle.result()).output == {"risk": "low"}
    assert endpoint.requests[1].body["max_completion_tokens"] >= 40


def tool_turns(asked: Asked, turns: int) -> Answered:
    """A tool call in each of the first turns, then an answer."""
    turn = sum(message["role"] == "assistant" for message in asked.messages)
    calls = (("do_work", {"what": "x" * 1500 + str(turn)}),) if turn < turns else ()
    return Answered(body=json.dumps(completion(asked, "" if calls else "done", calls, "stop", (100, 20))))


async def test_history_a_turn_is_constant_and_the_conversation_whole(office: Office, endpoint: Endpoint) -> None:
    endpoint.default = lambda asked: tool_turns(asked, 24)
    run = await office.start(process(limits="{turns: 30}"), {"name": "Ada"})
    await run.handle.result()
    history = await office.client.get_workflow_handle(f"{run.id}/ask").fetch_history()
    sizes: list[int] = []
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes") and event.event_type:
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == "surefoot.call_model":
                sizes.append(scheduled.ByteSize())
    assert len(sizes) == 25
    assert max(sizes[2:]) - min(sizes[2:]) < 20
    assert len(endpoint.requests[-1].messages) == 2 + 24 * 2
    total = sum(event.ByteSize() for event in history.events)
    assert total / 24 < 4500 + 2 * 1500


async def test_a_lost_store_is_supplied_again_by_the_workflow(
    office: Office, endpoint: Endpoint, tmp_path: Path
) -> None:
    lost = tmp_path / "conversations.db"

    def lose_then_answer(asked: Asked) -> Answered:
        with sqlite3.connect(lost) as connection:
            connection.execute("DELETE FROM content")
        return tool_turns(asked, 5)

    endpoint.default = lose_then_answer
    run = await office.start(process(limits="{turns: 30}"), {"name": "Ada"})
    assert (await run.handle.result()).output == "done"
    assert len(endpoint.requests[-1].messages) == 2 + 5 * 2
    assert [what[-1] for _, _, what in office.ledger] == ["0", "1", "2", "3", "4"]


async def test_the_agents_own_view_says_what_it_is_doing(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_held", {}))
    endpoint.say("done")
    run = await office.start(process(tools="[do.held]"), {"name": "Ada"})
    await office.started["ask"].wait()
    view: RunView = await run.view()
    child = next(step.child for step in view.steps if step.id == "ask")
    assert child == f"{run.id}/ask"
    seen: AgentView = await office.client.get_workflow_handle(child).query(VIEW_QUERY, result_type=AgentView)
    assert (seen.status, seen.turns, seen.tool_calls, seen.last) == ("running", 1, 1, "turn 1: do.held")
    office.gates["ask"].set()
    await run.handle.result()


async def test_what_every_round_of_a_repeat_used_counts(office: Office, endpoint: Endpoint) -> None:
    for answer in ("no", "no", "yes"):
        endpoint.say(answer)
    run = await office.start(process(repeat={"until": "${ output == 'yes' }"}), {"name": "Ada"})
    await run.handle.result()
    view = await run.view()
    assert view.cost.calls == 3
    assert sum(step.tokens for step in view.steps) == view.cost.tokens == 360
