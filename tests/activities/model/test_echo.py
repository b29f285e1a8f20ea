"""What a model said goes back to it in a form that no endpoint refuses, and always in the same."""

import json

import pytest

from activities.model.echo import sendable
from contracts.messages import AssistantMessage, CalledTool, Message, ToolMessage, UserMessage


def said(*calls: tuple[str, str, str]) -> AssistantMessage:
    return AssistantMessage(
        tool_calls=tuple(CalledTool(id=call_id, name=name, arguments=text) for call_id, name, text in calls)
    )


def test_ids_are_different_in_the_whole_conversation_and_results_stay_with_their_calls() -> None:
    messages: list[Message] = []
    for turn in range(3):
        messages += [said(("c", "a", "{}"), ("c-2", "a", "{}"), ("c", "b", "{}"))]
        messages += [ToolMessage(call_id=call_id, content=f"{turn} {call_id}") for call_id in ("c", "c-2", "c")]
        messages.append(UserMessage(content="on"))
    sent = sendable(messages, ["a", "b"])
    ids = [call.id for each in sent if isinstance(each, AssistantMessage) for call in each.tool_calls]
    assert len(set(ids)) == 9
    assert [each.call_id for each in sent if isinstance(each, ToolMessage)] == ids
    assert sendable(messages[:5], ["a", "b"]) == sent[:5]


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "7", '{"a": NaN}', "null", '"{}"'])
def test_arguments_that_are_no_object_go_back_inside_one(arguments: str) -> None:
    (sent,) = sendable([said(("c", "a", arguments))], ["a"])
    assert isinstance(sent, AssistantMessage)
    assert json.loads(sent.tool_calls[0].arguments) == {"unreadable": arguments}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a.b", "a.b"), ("../x y", "___x_y"), ("", "unnamed"), ("é" * 80, "_" * 64), ("x" * 80, "x" * 64)],
)
def test_names_that_no_tool_has_are_shown_as_endpoints_take_them(name: str, shown: str) -> None:
    (sent,) = sendable([said(("c", name, "{}"))], ["a.b"])
    assert isinstance(sent, AssistantMessage)
    assert sent.tool_calls[0].name == shown


def test_what_is_well_goes_back_as_it_was() -> None:
    messages = (said(("c", "a", '{"x": 1}')), ToolMessage(call_id="c", content="1"), UserMessage(content="on"))
    assert sendable(messages, ["a"]) == messages
