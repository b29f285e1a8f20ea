"""What is sent to an endpoint and what its answers mean, alike through both APIs."""

import json

import pytest

from contracts.messages import CalledTool, OfferedTool, ToolMessage, UserMessage, tool_message
from tests.activities.model.harness import KEY, SCHEMA, Desk
from tests.endpoint import MODEL, Endpoint


async def test_an_answer_comes_with_its_model_and_usage(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("all is well")
    reply = await either.ask()
    assert (reply.message.content, reply.finish, reply.model) == ("all is well", "stop", MODEL)
    assert (reply.usage.calls, reply.usage.input_tokens, reply.usage.output_tokens) == (1, 100, 20)
    assert not reply.rehearsal
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_the_model_is_told_its_instructions_task_and_context(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("ok")
    await either.ask()
    sent = json.dumps(endpoint.requests[0].body)
    assert "You check invoices." in sent
    assert "Compare invoice 7." in sent
    assert "amount" in sent
    assert "12" in sent


async def test_tools_are_offered_under_legal_names_and_called_under_their_own(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("ok")
    await either.ask()
    offered = [tool.get("function", tool)["name"] for tool in endpoint.requests[0].body["tools"]]
    assert all(name.replace("_", "").replace("-", "").isalnum() and len(name) <= 64 for name in offered)
    endpoint.call((offered[0], {"id": "7"}), (offered[1], {}))
    either.add(UserMessage(content="go on"))
    reply = await either.ask()
    assert reply.finish == "tool_calls"
    assert [call.name for call in reply.message.tool_calls] == ["erp.read_order", "mail.send"]
    assert json.loads(reply.message.tool_calls[0].arguments) == {"id": "7"}


async def test_names_that_look_alike_to_an_endpoint_stay_apart(either: Desk, endpoint: Endpoint) -> None:
    names = ["a.b_c", "a_b.c", "a.b.c", "a_b_c", "long." + "x" * 80, "long." + "x" * 80 + "y"]
    either.begin(tools=tuple(OfferedTool(name=name, description="", parameters={}) for name in names))
    endpoint.say("ok")
    await either.ask()
    offered = [tool.get("function", tool)["name"] for tool in endpoint.requests[0].body["tools"]]
    assert len(set(offered)) == len(names)
    assert max(map(len, offered)) <= 64
    endpoint.call(*((name, {}) for name in offered))
    either.add(UserMessage(content="go on"))
    assert [call.name for call in (await either.ask()).message.tool_calls] == names


async def test_a_call_and_its_result_go_back_as_one_pair(either: Desk, endpoint: Endpoint) -> None:
    endpoint.call(("erp_read_order", {"id": "7"}))
    endpoint.say("done")
    called = (await either.ask()).message.tool_calls[0]
    either.add(tool_message(called.id, {"total": 12}))
    await either.ask()
    asked, told = endpoint.requests[1].messages[-2:]
    if "tool_calls" in asked:
        assert asked["tool_calls"][0]["id"] == told["tool_call_id"] == called.id
        assert told["content"] == '{"total":12}'
    else:
        assert (asked["type"], told["type"]) == ("function_call", "function_call_output")
        assert asked["call_id"] == told["call_id"] == called.id
        assert told["output"] == '{"total":12}'


async def test_an_answer_with_a_schema_is_asked_for_as_such(either: Desk, endpoint: Endpoint) -> None:
    either.begin(output=SCHEMA, tools=())
    endpoint.say('{"ok": true}')
    assert (await either.ask()).message.content == '{"ok": true}'
    body = endpoint.requests[0].body
    form = body["response_format"]["json_schema"] if "response_format" in body else body["text"]["format"]
    assert form["schema"]["properties"] == SCHEMA["properties"]
    assert form["schema"]["required"] == ["ok"]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_a_cut_off_or_filtered_answer_is_an_outcome(either: Desk, endpoint: Endpoint, finish: str) -> None:
    endpoint.say("half of", finish=finish)
    assert (await either.ask()).finish == finish


async def test_a_refusal_is_an_outcome_that_says_why(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("", refusal="I will not.")
    reply = await either.ask()
    assert (reply.finish, reply.message.content) == ("refusal", "I will not.")


async def test_a_cap_on_output_is_passed_on(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("ok")
    await either.ask(cap=777)
    assert 777 in endpoint.requests[0].body.values()


async def test_an_endpoint_that_tells_no_usage_is_tolerated(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("ok", usage=None)
    usage = (await either.ask()).usage
    assert (usage.calls, usage.tokens, usage.cost) == (1, 0, 0.0)


@pytest.mark.parametrize("count", [-3, "many", [1], True, 1e300, None])
async def test_a_usage_that_makes_no_sense_is_as_none(either: Desk, endpoint: Endpoint, count: object) -> None:
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"), count)
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}], "type": "message"}
    endpoint.raw(json.dumps({"choices": [{"message": {"content": "ok"}}], "output": [said], "usage": counts}))
    reply = await either.ask()
    assert (reply.message.content, reply.usage.tokens, reply.usage.unpriced) == ("ok", 0, 1)


@pytest.mark.parametrize("ids", [("a", "a"), (None, None), ("", "call-0"), ("call-1", None)])
async def test_calls_whose_ids_are_missing_or_repeated_stay_apart(
    either: Desk, endpoint: Endpoint, ids: tuple[str | None, ...]
) -> None:
    calls = [{"id": each, "function": {"name": "mail_send", "arguments": "{}"}} for each in ids]
    items = [{"type": "function_call", "call_id": each, "name": "mail_send", "arguments": "{}"} for each in ids]
    endpoint.raw(json.dumps({"choices": [{"message": {"tool_calls": calls}}], "output": items}))
    made = [call.id for call in (await either.ask()).message.tool_calls]
    assert len({*made}) == 2
    assert all(each in made for each in ids if each)


async def test_arguments_that_are_not_json_reach_the_workflow_as_the_model_wrote_them(
    either: Desk, endpoint: Endpoint
) -> None:
    endpoint.call(("erp_read_order", "{broken"))
    assert (await either.ask()).message.tool_calls[0].arguments == "{broken"


async def test_each_turn_sends_the_whole_conversation_in_order(either: Desk, endpoint: Endpoint) -> None:
    for number in range(4):
        endpoint.say(f"answer {number}")
        await either.ask()
        either.add(UserMessage(content=f"question {number}"))
    endpoint.say("end")
    await either.ask()
    texts = [item["content"] for item in endpoint.requests[-1].messages if item["role"] in ("user", "assistant")]
    assert texts[1:] == [text for number in range(4) for text in (f"answer {number}", f"question {number}")]


async def test_results_of_several_calls_at_once_are_all_there(either: Desk, endpoint: Endpoint) -> None:
    endpoint.call(("erp_read_order", {"id": "1"}), ("erp_read_order", {"id": "2"}))
    endpoint.say("ok")
    calls: tuple[CalledTool, ...] = (await either.ask()).message.tool_calls
    assert len({call.id for call in calls}) == 2
    for call in calls:
        either.add(ToolMessage(call_id=call.id, content="{}"))
    await either.ask()
    told = [item for item in endpoint.requests[1].messages if item.get("role") == "tool" or "output" in item]
    assert len(told) == 2
