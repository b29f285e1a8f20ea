"""Answers that arrive while they are made: what is put together of them, and what ends them early."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.model import speech, stream
from contracts.live import Speech
from contracts.model import ModelReply
from tests.activities.model.harness import SCHEMA, Desk
from tests.endpoint import Endpoint
from tests.streams import DONE, event


def chunk(finish: str | None = None, **delta: Any) -> str:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}})


async def both_ways(desk: Desk, endpoint: Endpoint, *, tells: Any) -> tuple[ModelReply, ModelReply]:
    """The same answer, streamed and not."""
    replies = []
    for streams in (True, False):
        desk.begin(output=None)
        endpoint.streams = streams
        tells()
        replies.append(await desk.ask())
    return replies[0], replies[1]


ANSWERS: dict[str, Any] = {
    "text": lambda endpoint: endpoint.say("All is well: 7 € — süß, 你好\n\nand more."),
    "calls": lambda endpoint: endpoint.call(("erp_read_order", {"id": "7 €"}), ("mail_send", {}), text="Let me look."),
    "no arguments": lambda endpoint: endpoint.call(("mail_send", "")),
    "broken arguments": lambda endpoint: endpoint.call(("mail_send", '{"a')),
    "refusal": lambda endpoint: endpoint.say("", refusal="I will not do that."),
    "cut off": lambda endpoint: endpoint.say("half of", finish="length"),
    "filtered": lambda endpoint: endpoint.say("half of", finish="content_filter"),
    "no usage": lambda endpoint: endpoint.say("ok", usage=None),
    "empty": lambda endpoint: endpoint.say(""),
    "long": lambda endpoint: endpoint.say("word " * 20_000),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_a_streamed_answer_is_exactly_the_unstreamed_one(either: Desk, endpoint: Endpoint, kind: str) -> None:
    streamed, whole = await both_ways(either, endpoint, tells=lambda: ANSWERS[kind](endpoint))
    assert streamed == whole
    assert [asked.body["stream"] for asked in endpoint.requests] == [True, True]


async def test_usage_is_asked_for_and_counted(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.say("ok", usage=(70, 11))
    usage = (await desk.ask()).usage
    assert endpoint.requests[0].body["stream_options"] == {"include_usage": True}
    assert (usage.input_tokens, usage.output_tokens) == (70, 11)


async def test_an_alias_that_does_not_stream_asks_for_none(either: Desk, endpoint: Endpoint) -> None:
    either.aliases = {"default": either.aliases["default"].model_copy(update={"stream": False})}
    await either.restart()
    endpoint.say("ok")
    assert (await either.ask()).message.content == "ok"
    assert "stream" not in endpoint.requests[0].body
    assert "stream_options" not in endpoint.requests[0].body


SAID = [chunk(role="assistant", content=""), chunk(content="all "), chunk(content="well"), chunk("stop")]


@pytest.mark.parametrize(
    "events",
    [
        [*SAID, USAGE, DONE],
        [*SAID, USAGE],
        [*SAID, USAGE, "data: [DONE]"],
        [": ping\r\n\r\n", *(piece.replace("\n", "\r\n") for piece in SAID), USAGE, DONE],
        ["".join(SAID) + USAGE + DONE],
        [letter for piece in (*SAID, USAGE, DONE) for letter in piece],
        ["id: 1\nretry: 5\n", *SAID, USAGE, DONE, chunk(content="never"), chunk(content="heard")],
        [chunk(content=[{"type": "text", "text": "all "}]), chunk("stop", content="well"), USAGE, DONE],
    ],
)
async def test_forms_of_streams_that_endpoints_have(desk: Desk, endpoint: Endpoint, events: list[str]) -> None:
    endpoint.stream(*events)
    reply = await desk.ask()
    assert (reply.message.content, reply.finish, reply.usage.tokens) == ("all well", "stop", 13)


def call_chunk(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> str:
    call = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return chunk(tool_calls=[{key: value for key, value in call.items() if value is not None}])


@pytest.mark.parametrize(
    "events",
    [
        [
            call_chunk(0, "a", "erp_read_order", ""),
            call_chunk(1, "b", "mail_send", ""),
            call_chunk(0, None, None, '{"id":'),
            call_chunk(1, None, None, "{}"),
            call_chunk(0, None, None, '"7"}'),
        ],
        [call_chunk(None, "a", "erp_read_order", '{"id":"7"}'), call_chunk(None, "b", "mail_send", "{}")],
        [call_chunk(0, "a", "erp_read_order", '{"id":"7"}'), call_chunk(0, "b", "mail_send", "{}")],
        [call_chunk(0, "a", "erp_read_order", {"id": "7"}), call_chunk(1, "b", "mail_send", {})],
        [
            call_chunk(0, "a", "erp_read_order", ""),
            call_chunk(0, "x", None, '{"id":'),
            call_chunk(0, "y", None, '"7"}'),
            call_chunk(1, "b", "mail_send", "{}"),
        ],
    ],
    ids=["interleaved", "without index", "all with the same index", "arguments as objects", "an id for each fragment"],
)
async def test_tool_calls_in_fragments_are_put_together(desk: Desk, endpoint: Endpoint, events: list[str]) -> None:
    endpoint.stream(*events, chunk("tool_calls"), DONE)
    reply = await desk.ask()
    calls = [(call.id, call.name, call.arguments) for call in reply.message.tool_calls]
    assert calls == [("a", "erp.read_order", '{"id":"7"}'), ("b", "mail.send", "{}")]


@pytest.mark.parametrize("index", [None, 0])
async def test_whole_calls_without_ids_stay_apart(desk: Desk, endpoint: Endpoint, index: int | None) -> None:
    calls = [call_chunk(index, None, name, "{}") for name in ("mail_send", "erp_read_order", "mail_send")]
    endpoint.stream(*calls, chunk("tool_calls"), DONE)
    made = (await desk.ask()).message.tool_calls
    assert [call.name for call in made] == ["mail.send", "erp.read_order", "mail.send"]
    assert len({call.id for call in made}) == 3


async def test_a_response_whose_last_event_lacks_the_items_has_those_told_before(
    endpoint: Endpoint, either: Desk
) -> None:
    if either.aliases["default"].api != "responses":
        return
    item = {"type": "message", "content": [{"type": "output_text", "text": "ok"}]}
    endpoint.stream(
        event({"type": "response.output_item.done", "output_index": 0, "item": item}),
        event({"type": "response.completed", "response": {"status": "completed", "output": []}}),
    )
    assert (await either.ask()).message.content == "ok"


BROKEN = {
    "half": (SAID[:3], {"cut": 1}, True),
    "half, closed in form": (SAID[:3], {}, True),
    "nothing": ([": ping\n\n"], {}, True),
    "no answer": ([event({"choices": []}), DONE], {}, True),
    "garbage": ([SAID[0], "data: <html>\n\n"], {}, True),
    "no events": ([SAID[0], "data: 7\n\n"], {}, True),
    "error": ([SAID[0], event({"error": {"code": "server_error", "message": "it broke"}})], {}, True),
    "named error": ([SAID[0], event({"message": "it broke"}, "error")], {}, True),
    "error that is no JSON": ([SAID[0], "event: error\ndata: it broke\n\n"], {}, True),
    "no credit": ([SAID[0], event({"error": {"code": "insufficient_quota", "message": "no"}})], {}, False),
    "too long": ([SAID[0], event({"error": {"code": "context_length_exceeded", "message": "no"}})], {}, False),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_stream_that_breaks_is_classified_by_the_table(either: Desk, endpoint: Endpoint, kind: str) -> None:
    events, more, retried = BROKEN[kind]
    endpoint.stream(*events, **more)
    failure = await either.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", not retried)
    assert endpoint.url in failure.message


async def test_a_failed_response_says_why(either: Desk, endpoint: Endpoint) -> None:
    if either.aliases["default"].api != "responses":
        return
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    endpoint.stream(event({"type": "response.failed", "response": {"status": "failed", "error": error, "output": []}}))
    failure = await either.failure()
    assert "slow down" in failure.message
    assert failure.next_retry_delay is not None


async def test_a_stream_that_stalls_is_given_up(
    desk: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALL_SECONDS", 0.2)
    let_go = threading.Event()
    endpoint.stream(*SAID[:2], let_go, *SAID[2:], DONE)
    failure = await desk.failure()
    let_go.set()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", False)
    assert "stalled" in failure.message


async def test_a_whole_answer_counts_whose_line_stays_open(
    desk: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LAST_WORD_SECONDS", 0.2)
    let_go = threading.Event()
    endpoint.stream(*SAID, USAGE, let_go)
    reply = await desk.ask()
    let_go.set()
    assert (reply.message.content, reply.usage.tokens) == ("all well", 13)


async def test_a_whole_answer_counts_whose_line_breaks_after_it(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.stream(*SAID, cut=1)
    assert (await desk.ask()).message.content == "all well"


async def test_a_connection_serves_the_next_call_too(
    desk: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "DRAIN_SECONDS", 60)
    for _ in range(3):
        endpoint.say("ok")
        await desk.ask()
    assert endpoint.connections == 1


async def test_what_is_said_is_told_while_it_is_said_and_bounded(
    either: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "LIVE_SECONDS", 0.01)
    told: list[Speech] = []
    half, all_of_it = threading.Event(), threading.Event()

    def hear(*details: Any) -> None:
        told.append(details[-1])
        if told[-1].length:
            half.set()
        if told[-1].calls:
            all_of_it.set()

    request = either.conversation.request(run="r", step="s", turn=3, max_output_tokens=None)
    whole = {"text": "x" * 5_000, "call": {"id": "7" * 900}}
    endpoint.call(("erp_read_order", whole["call"]), text=str(whole["text"]), wait=(half, all_of_it))
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=2)
    environment.on_heartbeat = hear
    reply: ModelReply = await environment.run(either.models.activity(), request)
    assert reply.message.content == whole["text"]
    assert {(each.turn, each.attempt, each.model) for each in told if each.length} == {(3, 2, "test-model")}
    assert max(each.length for each in told) == 5_000
    assert max(len(each.tail) for each in told) <= speech.TEXT_TAIL
    call = next(each.calls[0] for each in told if each.calls)
    assert call.tool == "erp_read_order"
    assert max(len(each.model_dump_json()) for each in told) < 4_000


async def test_an_answer_given_at_once_is_told_of_by_no_heartbeat(
    desk: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "LIVE_SECONDS", 60)  # however long "at once" takes on this machine
    beats: list[Any] = []
    endpoint.say("quick")
    request = desk.conversation.request(run="r", step="s", turn=1, max_output_tokens=None)
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    await environment.run(desk.models.activity(), request)
    assert beats == []


async def test_a_schema_is_asked_for_in_a_stream_too(desk: Desk, endpoint: Endpoint) -> None:
    desk.begin(output=SCHEMA, tools=())
    endpoint.say('{"ok": true}')
    assert (await desk.ask()).message.content == '{"ok": true}'
    assert endpoint.requests[0].body["response_format"]["type"] == "json_schema"
