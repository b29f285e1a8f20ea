"""The table of what each failing answer means, over real HTTP."""

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.conversations import SqliteConversations
from contracts.settings import ModelAlias
from tests.activities.model.conftest import shut
from tests.activities.model.harness import KEY, Desk
from tests.endpoint import MODEL, Answered, Asked, Endpoint, completion


@dataclass(frozen=True)
class Row:
    status: int
    error: dict[str, Any]
    retried: bool
    says: str
    headers: dict[str, str] = field(default_factory=dict)


ROWS = [
    *(Row(status, {"message": "later"}, True, str(status)) for status in (408, 409, 500, 502, 503, 504)),
    Row(429, {"code": "rate_limit_exceeded", "message": "slow down"}, True, "slow down"),
    Row(429, {"code": "insufficient_quota", "message": "no credit"}, False, "no credit"),
    Row(400, {"message": "bad value", "param": "tools[0].name"}, False, "tools[0].name"),
    Row(404, {"code": "model_not_found", "message": "no such model"}, False, "no such model"),
    Row(422, {"message": "cannot", "param": "messages"}, False, "messages"),
    Row(400, {"code": "context_length_exceeded", "message": "too long"}, False, "too long"),
    Row(401, {"code": "invalid_api_key", "message": "wrong key"}, False, "OPENAI_API_KEY"),
    Row(403, {"message": "not yours"}, False, "OPENAI_API_KEY"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.status}-{row.error.get('code', '')}")
async def test_the_table(either: Desk, endpoint: Endpoint, row: Row) -> None:
    endpoint.fail(row.status, headers=row.headers, **row.error)
    failure = await either.failure()
    assert failure.type == "ModelFailed"
    assert failure.non_retryable is not row.retried
    assert len(endpoint.requests) == 1
    for part in (MODEL, endpoint.url, str(row.status)):
        assert part in failure.message
    assert row.says in failure.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 2.5),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"retry-after": "3600"}, 3600.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_endpoint_is_asked_no_sooner_than_it_says(
    desk: Desk, endpoint: Endpoint, status: int, headers: dict[str, str], seconds: float
) -> None:
    endpoint.fail(status, headers=headers, message="busy")
    delay = (await desk.failure()).next_retry_delay
    assert delay is not None
    assert seconds <= delay.total_seconds() <= max(1.3 * seconds, seconds + 1)


async def test_a_time_that_makes_no_sense_is_as_none(desk: Desk, endpoint: Endpoint) -> None:
    for nonsense in ("soon", "inf", "nan", "1e300", "-5"):
        endpoint.fail(429, headers={"retry-after": nonsense}, message="busy")
        failure = await desk.failure()
        assert (failure.type, failure.non_retryable) == ("ModelFailed", False)


async def test_what_is_in_no_table_is_retried_at_most_twice(desk: Desk, endpoint: Endpoint) -> None:
    final = []
    for _ in range(3):
        endpoint.fail(418, message="teapot")
        final.append((await desk.failure()).non_retryable)
    assert final == [False, False, True]


MALFORMED = [
    ("<html>Sign in</html>", {"content_type": "text/html"}),
    ("<html>Sign in</html>", {}),
    ("", {}),
    ("[]", {}),
    ("null", {}),
    ('"text"', {}),
    ("{}", {}),
    ('{"choices": [], "output": 3}', {}),
    ('{"choices": [{"message": null}], "output": [null]}', {}),
    ('{"choices": [{"message": {"content": {"a": 1}}}], "output": [{"type": "message", "content": 3}]}', {}),
]


@pytest.mark.parametrize(("text", "more"), MALFORMED)
async def test_an_answer_that_is_none_fails_naming_the_endpoint(
    either: Desk, endpoint: Endpoint, text: str, more: dict[str, Any]
) -> None:
    endpoint.raw(text, **more)
    failure = await either.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", False)
    assert endpoint.url in failure.message
    assert len(failure.message) < 1_000


async def test_a_cut_off_body_is_tried_again(either: Desk, endpoint: Endpoint) -> None:
    endpoint.raw('{"choices": [', cut=100)
    failure = await either.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", False)


async def test_an_endpoint_nobody_listens_at_is_tried_again_and_named(desk: Desk) -> None:
    desk.aliases = {"default": ModelAlias(model=MODEL, base_url="http://127.0.0.1:9/v1")}
    await desk.restart()
    failure = await desk.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", False)
    assert "http://127.0.0.1:9/v1" in failure.message


async def test_an_answer_larger_than_a_run_can_hold_fails_and_never_reaches_the_history(
    either: Desk, endpoint: Endpoint
) -> None:
    endpoint.say("x" * 3_000_000)
    failure = await either.failure()
    assert failure.type == "ModelFailed"
    assert "1.5 MB a turn can hold" in failure.message


async def test_an_endpoint_that_hangs_is_given_up_after_its_time_and_named(either: Desk, endpoint: Endpoint) -> None:
    hung = either.aliases["default"].model_copy(update={"timeout": timedelta(milliseconds=200)})
    either.aliases = {"default": hung}
    await either.restart()
    let_go = threading.Event()
    endpoint.raw("{}", until=let_go)
    failure = await either.failure()
    let_go.set()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", False)
    assert f"{MODEL} at {endpoint.url}: no answer in time (0.2 s)" in failure.message


@pytest.mark.parametrize("status", [200, 502])
async def test_ten_megabytes_of_a_page_are_one_line_of_a_message(either: Desk, endpoint: Endpoint, status: int) -> None:
    page = "<html><head><title>Gateway trouble</title></head>" + "<p>sorry</p>" * 900_000
    endpoint.raw(page, status=status, content_type="text/html")
    failure = await either.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", False)
    assert len(failure.message) < 1_000


async def test_megabytes_in_any_part_of_an_error_are_one_line_of_a_message(either: Desk, endpoint: Endpoint) -> None:
    large = "x" * 2_000_000
    endpoint.raw(json.dumps({"error": {"message": large, "code": large, "param": large}}), status=400)
    failure = await either.failure()
    assert (failure.type, failure.non_retryable) == ("ModelFailed", True)
    assert len(failure.message) < 1_000


async def test_ten_megabytes_of_an_answer_fail_and_never_reach_the_history(either: Desk, endpoint: Endpoint) -> None:
    endpoint.say("x" * 10_000_000)
    failure = await either.failure()
    assert failure.type == "ModelFailed"
    assert "1.5 MB a turn can hold" in failure.message


async def test_an_error_in_a_successful_answer_is_the_error(either: Desk, endpoint: Endpoint) -> None:
    endpoint.raw('{"error": {"code": "insufficient_quota", "message": "no credit"}}')
    failure = await either.failure()
    assert failure.non_retryable
    assert "no credit" in failure.message


async def test_a_prompt_stopped_by_a_filter_is_an_outcome(either: Desk, endpoint: Endpoint) -> None:
    endpoint.fail(400, code="content_filter", message="The prompt triggered a content filter.")
    reply = await either.ask()
    assert reply.finish == "content_filter"
    assert "triggered a content filter" in reply.message.content


async def test_used_up_credit_in_other_words_is_never_tried_again(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.fail(402, message="Insufficient Balance")
    assert (await desk.failure()).non_retryable


async def test_a_conversation_too_long_in_other_words_goes_to_the_next_model(desk: Desk, endpoint: Endpoint) -> None:
    desk.aliases = {
        "small": ModelAlias(model="small", base_url=endpoint.url),
        "large": ModelAlias(model="large", base_url=endpoint.url),
    }
    await desk.restart()
    desk.begin(models=("small", "large"))
    endpoint.fail(400, type="exceed_context_size_error", message="the request exceeds the available context size")
    endpoint.say("ok")
    assert (await desk.ask()).model == "large"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
async def test_a_key_that_an_endpoint_repeats_is_in_no_message(
    desk: Desk, endpoint: Endpoint, status: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    endpoint.fail(status, message=f"key {KEY} will not do", code="invalid_api_key")
    failure: BaseException | None = await desk.failure()
    while failure is not None:
        assert KEY not in str(failure)
        assert KEY not in repr(getattr(failure, "details", ""))
        failure = failure.__cause__
    assert KEY not in caplog.text + "".join(capfd.readouterr())


async def test_credentials_in_a_url_are_in_no_message(desk: Desk, endpoint: Endpoint) -> None:
    url = endpoint.url.replace("http://", "http://robot:hunter2@")
    desk.aliases = {"default": ModelAlias(model=MODEL, base_url=url)}
    await desk.restart()
    endpoint.fail(400, message="no")
    assert "hunter2" not in (await desk.failure()).message


CHAIN = ("first", "second")


async def chain(desk: Desk, endpoint: Endpoint, **first: Any) -> None:
    desk.aliases = {name: ModelAlias(model=name, base_url=endpoint.url) for name in CHAIN}
    desk.aliases = {**desk.aliases, "first": ModelAlias(**({"model": "first", "base_url": endpoint.url} | first))}
    await desk.restart()
    desk.begin(models=CHAIN)


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "insufficient_quota"), (401, "invalid_api_key"), (403, ""), (400, "context_length_exceeded"), (404, "")],
)
async def test_the_next_model_of_the_chain_answers_in_the_same_attempt(
    desk: Desk, endpoint: Endpoint, status: int, code: str
) -> None:
    await chain(desk, endpoint)
    endpoint.fail(status, code=code, message="no")
    endpoint.say("ok")
    assert (await desk.ask()).model == "second"
    assert [asked.body["model"] for asked in endpoint.requests] == ["first", "second"]


@pytest.mark.parametrize("status", [400, 422, 429, 500, 503])
async def test_what_another_model_would_not_mend_stays_with_the_first(
    desk: Desk, endpoint: Endpoint, status: int
) -> None:
    await chain(desk, endpoint)
    endpoint.fail(status, message="no")
    await desk.failure()
    assert len(endpoint.requests) == 1


async def test_a_chain_that_fails_as_a_whole_says_why_each_did(desk: Desk, endpoint: Endpoint) -> None:
    await chain(desk, endpoint)
    endpoint.fail(401, message="wrong key")
    endpoint.fail(404, message="no such model")
    failure = await desk.failure()
    assert failure.non_retryable
    assert "wrong key" in failure.message
    assert "no such model" in failure.message


async def test_an_alias_that_does_not_exist_is_named_with_those_that_do(desk: Desk) -> None:
    desk.begin(models=("defualt",))
    failure = await desk.failure()
    assert failure.non_retryable
    assert "'defualt'" in failure.message
    assert "surefoot.toml" in failure.message


async def test_the_chain_goes_on_after_a_model_without_its_key(desk: Desk, endpoint: Endpoint) -> None:
    await chain(desk, endpoint, base_url=None, key_env="NOT_SET")
    endpoint.say("ok")
    assert (await desk.ask()).model == "second"


async def test_an_answer_that_never_comes_is_given_up_when_the_activity_is_cancelled(
    desk: Desk, endpoint: Endpoint
) -> None:
    let_go = threading.Event()
    endpoint.raw("{}", until=let_go)
    task = asyncio.create_task(desk.ask())
    async with asyncio.timeout(60):
        while not endpoint.requests:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_go.set()


async def test_nothing_is_bought_twice_when_the_answer_cannot_be_kept(
    desk: Desk, endpoint: Endpoint, tmp_path: Path
) -> None:
    await shut(desk)
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    desk.store = SqliteConversations(tmp_path / "broken.db")
    await desk.restart()
    endpoint.say("one")
    endpoint.say("two")
    assert (await desk.ask()).message.content == "one"
    assert (await desk.ask()).message.content == "two"
    assert len(endpoint.requests) == 2


LOCAL_KEY = "0123456789abcdefghijKLMNOPqrstuv"


@pytest.mark.parametrize("fill", range(150, 300, 7))
@pytest.mark.parametrize("status", [200, 401])
async def test_no_message_ends_in_the_midst_of_a_key(desk: Desk, endpoint: Endpoint, status: int, fill: int) -> None:
    desk.environment = {"OPENAI_API_KEY": LOCAL_KEY}
    await desk.restart()
    endpoint.raw("x" * fill + " " + LOCAL_KEY, status=status)
    assert LOCAL_KEY[:8] not in (await desk.failure()).message


async def test_white_space_around_a_key_is_no_part_of_it(desk: Desk, endpoint: Endpoint) -> None:
    desk.environment = {"OPENAI_API_KEY": f" {LOCAL_KEY}\n"}
    await desk.restart()
    endpoint.say("ok")
    await desk.ask()
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {LOCAL_KEY}"


@pytest.mark.parametrize("sign", ["é", "\x01", "\n"])
async def test_a_key_that_no_header_takes_is_a_setting_to_mend(desk: Desk, endpoint: Endpoint, sign: str) -> None:
    desk.environment = {"OPENAI_API_KEY": LOCAL_KEY[:20] + sign + LOCAL_KEY[20:]}
    await desk.restart()
    failure = await desk.failure()
    assert failure.non_retryable
    assert "OPENAI_API_KEY" in failure.message
    assert LOCAL_KEY[:8] not in failure.message
    assert endpoint.requests == []


class Slipping(SqliteConversations):
    """A store that fails in a way nobody foresaw once `slips`."""

    slips = False

    async def put(self, items: Mapping[str, bytes]) -> None:
        if self.slips:
            raise RuntimeError("a slip of ours")
        await super().put(items)


async def test_what_nobody_foresaw_is_paid_for_three_times_at_most(endpoint: Endpoint, tmp_path: Path) -> None:
    store = Slipping(tmp_path / "slipping.db")
    desk = Desk(store, {"default": ModelAlias(model=MODEL, base_url=endpoint.url)}, {})

    def answer(asked: Asked) -> Answered:
        store.slips = True
        return Answered(body=json.dumps(completion(asked, "ok", usage=(100, 20))))

    failures = []
    for _ in range(3):
        store.slips = False
        endpoint.add(answer)
        failures.append(await desk.failure())
    await shut(desk)
    assert [failure.non_retryable for failure in failures] == [False, False, True]
    assert "RuntimeError: a slip of ours" in failures[-1].message
    assert failures[-1].details[0]["usage"]["output_tokens"] == 60


async def test_an_endpoint_that_takes_no_connection_is_not_waited_for_as_for_an_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.model.call.CONNECT_SECONDS", 0.2)
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for before in (first, second):  # those who stand before it, and are never let in
            before.setblocking(False)
            before.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        desk.aliases = {"default": ModelAlias(model=MODEL, base_url=url)}
        await desk.restart()
        failure = await desk.failure()
    assert not failure.non_retryable
    assert failure.message == f"{MODEL} at {url}: no connection in time"
