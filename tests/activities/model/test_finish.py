"""Answers held to a schema: by the endpoint's response format, or by a tool `finish` that carries the answer."""

import json
from typing import Any

import pytest

from activities.model.asking import answers_by_finish
from activities.model.endpoints import resolve
from contracts.messages import AssistantMessage, OfferedTool, UserMessage, tool_message
from contracts.settings import AnswerBy, ModelAlias
from tests.activities.model.harness import SCHEMA, TOOLS, Desk, brief
from tests.endpoint import Asked, Endpoint

ELSEWHERE = {"base_url": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("alias", "tools", "output", "by_finish"),
    [
        ({}, TOOLS, SCHEMA, False),
        (ELSEWHERE, TOOLS, SCHEMA, True),
        (ELSEWHERE, (), SCHEMA, False),
        (ELSEWHERE, TOOLS, None, False),
        ({"answer_by": "finish"}, TOOLS, SCHEMA, True),
        ({"answer_by": "finish"}, (), SCHEMA, True),
        ({"answer_by": "finish"}, TOOLS, None, True),
        ({"answer_by": "finish"}, (), None, False),
        (ELSEWHERE | {"answer_by": "schema"}, TOOLS, SCHEMA, False),
    ],
)
def test_the_alias_says_how_to_answer_and_else_what_suits_the_endpoint(
    alias: dict[str, Any], tools: Any, output: Any, by_finish: bool
) -> None:
    endpoint = resolve("default", {"default": ModelAlias(**alias)}, {"OPENAI_API_KEY": "k"}, None)
    assert endpoint is not None
    assert answers_by_finish(endpoint, brief(tools=tools, output=output)) is by_finish


def offered(asked: Asked) -> dict[str, Any]:
    """The last tool offered: the one that carries the answer."""
    tool: dict[str, Any] = asked.body["tools"][-1]
    found: dict[str, Any] = tool.get("function", tool)
    return found


async def test_an_answer_comes_as_a_call_of_the_tool(either: Desk, endpoint: Endpoint) -> None:
    either.begin(output=SCHEMA)
    endpoint.call(("finish", {"ok": True}), text="I am done.")
    reply = await either.ask()
    assert reply.message == AssistantMessage(content='{"ok": true}')
    assert reply.finish == "stop"
    asked = endpoint.requests[0]
    assert offered(asked)["parameters"] == SCHEMA
    assert asked.body["tool_choice"] == "required"
    assert "response_format" not in asked.body
    assert "text" not in asked.body
    assert "calling the tool finish" in json.dumps(asked.body)


VALUES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string"}, "yes"),
    ({"type": "number"}, 7.5),
    ({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}, [1, 2]),
    ({"enum": ["low", None]}, None),
    ({"anyOf": [{"type": "object"}, {"type": "boolean"}]}, {"a": 1}),
]


@pytest.mark.parametrize(("schema", "value"), VALUES)
async def test_an_answer_that_is_no_object_is_carried_too(
    either: Desk, endpoint: Endpoint, schema: dict[str, Any], value: Any
) -> None:
    either.begin(output=schema)
    endpoint.call(("finish", {"answer": value}))
    reply = await either.ask()
    assert json.loads(reply.message.content) == value
    parameters = offered(endpoint.requests[0])["parameters"]
    assert parameters["type"] == "object"
    assert parameters.get("$defs") == schema.get("$defs")


async def test_an_answer_in_free_text_is_carried_as_it_is(endpoint: Endpoint, desk: Desk) -> None:
    await by(desk, "finish")
    endpoint.call(("finish", {"answer": "All is well."}))
    reply = await desk.ask()
    assert (reply.message.content, reply.finish) == ("All is well.", "stop")


async def test_other_calls_of_the_turn_are_made_first(either: Desk, endpoint: Endpoint) -> None:
    either.begin(output=SCHEMA)
    endpoint.call(("erp_read_order", {"id": "7"}), ("finish", {"ok": True}), ("mail_send", {}))
    endpoint.call(("finish", {"ok": True}))
    reply = await either.ask()
    assert [call.name for call in reply.message.tool_calls] == ["erp.read_order", "mail.send"]
    assert reply.finish == "tool_calls"
    for call in reply.message.tool_calls:
        either.add(tool_message(call.id, {}))
    assert (await either.ask()).message.content == '{"ok": true}'


async def test_a_tool_of_that_name_stays_the_agents_own(either: Desk, endpoint: Endpoint) -> None:
    own = tuple(OfferedTool(name=name, description="", parameters={}) for name in ("finish", "finish.2"))
    either.begin(output=SCHEMA, tools=own)
    endpoint.call(("finish", {}), ("finish_2", {}))
    reply = await either.ask()
    assert [call.name for call in reply.message.tool_calls] == ["finish", "finish.2"]
    assert offered(endpoint.requests[0])["name"] == "finish_3"


def answered(asked: Asked) -> tuple[dict[str, Any], dict[str, Any]]:
    """The call of `finish` and what was said to it, in either API's words."""
    called, told = asked.messages[-2:]
    if "tool_calls" in called:
        call = called["tool_calls"][0]
        return (call["function"] | {"id": call["id"]}), {"id": told["tool_call_id"], "text": told["content"]}
    return (called | {"id": called["call_id"]}), {"id": told["call_id"], "text": told["output"]}


@pytest.mark.parametrize(("schema", "given"), [(SCHEMA, {"ok": 3}), ({"type": "string"}, {"answer": 3})])
async def test_a_corrected_answer_goes_back_as_the_call_it_was_with_a_result(
    either: Desk, endpoint: Endpoint, schema: dict[str, Any], given: dict[str, Any]
) -> None:
    either.begin(output=schema)
    endpoint.call(("finish", given))
    endpoint.call(("finish", {"ok": True}))
    await either.ask()
    either.add(UserMessage(content="The answer does not fit."))
    await either.ask()
    call, told = answered(endpoint.requests[1])
    assert (call["name"], json.loads(call["arguments"])) == ("finish", given)
    assert told == {"id": call["id"], "text": "The answer does not fit."}


@pytest.mark.parametrize("arguments", ["[1]", "7"])
async def test_arguments_that_are_no_object_go_back_as_text(either: Desk, endpoint: Endpoint, arguments: str) -> None:
    either.begin(output=SCHEMA)
    endpoint.call(("finish", arguments))
    endpoint.call(("finish", {"ok": True}))
    assert (await either.ask()).message.content == arguments
    either.add(UserMessage(content="That is no object."))
    assert (await either.ask()).message.content == '{"ok": true}'
    said, told = endpoint.requests[1].messages[-2:]
    assert (said["role"], said["content"]) == ("assistant", arguments)
    assert (told["role"], told["content"]) == ("user", "That is no object.")


@pytest.mark.parametrize("spoken", [True, False])
async def test_a_model_that_cannot_call_is_asked_for_its_answer_by_schema(
    either: Desk, endpoint: Endpoint, spoken: bool
) -> None:
    either.begin(output=SCHEMA)
    (endpoint.say if spoken else lambda text: endpoint.call(("finish", text)))("{broken")
    endpoint.say('{"ok": true}')
    assert (await either.ask()).message.content == "{broken"
    either.add(UserMessage(content="That is not JSON."))
    assert (await either.ask()).message.content == '{"ok": true}'
    body = endpoint.requests[1].body
    assert "response_format" in body or "text" in body
    assert "tool_choice" not in body
    assert len(body["tools"]) == len(TOOLS)
    assert [each["content"] for each in endpoint.requests[1].messages[-2:]] == ["{broken", "That is not JSON."]


async def by(desk: Desk, answer_by: AnswerBy) -> None:
    desk.aliases = {"default": desk.aliases["default"].model_copy(update={"answer_by": answer_by})}
    await desk.restart()


WRAPPED = [
    '{"ok": true}',
    '```json\n{"ok": true}\n```',
    '```\n{"ok": true}```',
    'Here it is:\n\n```json\n{"ok": true}\n```\nAnything else?',
    '<think>Is it {"ok": false}?</think>\n{"ok": true}',
    'Is it {"ok": false}?</think>\n{"ok": true}',
    '<think>```json\n{"ok": false}\n```</think>```json\n{"ok": true}\n```',
]


@pytest.mark.parametrize("text", WRAPPED)
@pytest.mark.parametrize("answer_by", ["schema", "finish"])
async def test_an_answer_in_text_is_read_without_its_wrapping(
    desk: Desk, endpoint: Endpoint, text: str, answer_by: AnswerBy
) -> None:
    await by(desk, answer_by)
    desk.begin(output=SCHEMA)
    endpoint.say(text)
    assert json.loads((await desk.ask()).message.content) == {"ok": True}


async def test_text_that_is_no_answer_and_text_that_was_asked_for_are_left_alone(
    desk: Desk, endpoint: Endpoint
) -> None:
    desk.begin(output=SCHEMA, tools=())
    endpoint.say("I `cannot` say.")
    assert (await desk.ask()).message.content == "I `cannot` say."
    desk.begin()
    endpoint.say("```json\n{}\n```")
    assert (await desk.ask()).message.content == "```json\n{}\n```"


async def test_a_cut_off_answer_is_cut_off_by_the_tool_too(either: Desk, endpoint: Endpoint) -> None:
    either.begin(output=SCHEMA)
    endpoint.call(("finish", '{"ok": tr'), finish="length")
    assert (await either.ask()).finish == "length"


async def test_the_cap_goes_by_the_name_that_the_alias_says(desk: Desk, endpoint: Endpoint) -> None:
    desk.aliases = {"default": desk.aliases["default"].model_copy(update={"cap_field": "max_tokens"})}
    await desk.restart()
    endpoint.say("ok")
    await desk.ask(cap=77)
    assert endpoint.requests[0].body["max_tokens"] == 77
    assert "max_completion_tokens" not in endpoint.requests[0].body


async def test_a_summary_is_free_text_and_calls_nothing(either: Desk, endpoint: Endpoint) -> None:
    either.begin(output=SCHEMA)
    endpoint.say("In short: nothing.")
    request = either.conversation.request(run="r", step="s", turn=1, max_output_tokens=None)
    reply = await either.run(request.model_copy(update={"purpose": "summary"}))
    assert reply.message.content == "In short: nothing."
    body = endpoint.requests[0].body
    assert body["tool_choice"] == "none"
    assert len(body["tools"]) == len(TOOLS)
    assert "response_format" not in body
    assert "text" not in body
