"""What stands before an endpoint: breaker, quota, limits. Real calls to a real endpoint, at a clock the test moves."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.board import FORCES, BoardStore, Force, ForcedState
from contracts.messages import UserMessage
from contracts.settings import ModelAlias
from tests.activities.model.conftest import shut
from tests.activities.model.harness import Desk, desk_at
from tests.endpoint import MODEL, Answered, Endpoint


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


class Board(BoardStore):
    """What an operator says; it takes a moment to read."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def say(self, alias: str, state: ForcedState) -> None:
        force = Force(state=state, at=datetime.now(UTC), by="user:op")
        self.entries[FORCES + alias] = force.model_dump_json()

    async def read(self, prefix: str) -> dict[str, str]:
        await asyncio.sleep(0)
        return {key: value for key, value in self.entries.items() if key.startswith(prefix)}

    async def write(self, key: str, value: str | None) -> None:
        """Nobody reads what workers say."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def watched(endpoint: Endpoint, tmp_path: Path, clock: Clock) -> AsyncIterator[Desk]:
    desk = desk_at(endpoint, tmp_path)
    desk.clock = clock
    await desk.restart()
    yield desk
    await shut(desk)


async def declare(desk: Desk, endpoint: Endpoint, **alias: Any) -> None:
    desk.aliases = {"default": ModelAlias(model=MODEL, base_url=endpoint.url, **alias)}
    await desk.restart()


async def seconds(desk: Desk) -> float:
    """After which the call is to be made again, which now fails."""
    failure = await desk.failure()
    assert not failure.non_retryable
    assert failure.next_retry_delay is not None
    return failure.next_retry_delay.total_seconds()


def down(endpoint: Endpoint, times: int) -> None:
    for _ in range(times):
        endpoint.fail(500, message="down")


async def test_an_endpoint_that_is_down_is_left_alone_and_waiting_uses_no_attempt_up(
    watched: Desk, endpoint: Endpoint, clock: Clock
) -> None:
    down(endpoint, 3)
    for _ in range(3):
        await seconds(watched)
    for _ in range(20):
        assert await seconds(watched) > 0
    assert len(endpoint.requests) == 3
    for probes in range(1, 20):
        clock.now += 10
        down(endpoint, 1)
        await seconds(watched)
        assert len(endpoint.requests) == 3 + probes


async def test_it_closes_when_its_probes_pass(watched: Desk, endpoint: Endpoint, clock: Clock) -> None:
    down(endpoint, 3)
    for _ in range(3):
        await seconds(watched)
    clock.now += 10
    for text in ("first probe", "second probe", "as ever"):
        endpoint.say(text)
        assert (await watched.ask()).message.content == text


async def test_a_call_that_fails_alone_ends_after_its_attempts(watched: Desk, endpoint: Endpoint) -> None:
    other = Desk(watched.store, watched.aliases, watched.environment)
    await other.models.close()
    other.models = watched.models
    final = []
    for _ in range(5):
        for _ in range(3):
            endpoint.say("fine")
            await other.ask()
        down(endpoint, 1)
        final.append((await watched.failure()).non_retryable)
    assert final == [False, False, False, False, True]


async def test_a_callers_own_mistakes_open_nothing(watched: Desk, endpoint: Endpoint) -> None:
    for _ in range(10):
        endpoint.fail(400, message="no")
        assert "answered 400" in (await watched.failure()).message
    endpoint.say("fine")
    assert (await watched.ask()).message.content == "fine"


async def test_slow_answers_open_it(watched: Desk, endpoint: Endpoint, clock: Clock) -> None:
    async def ask_slowly() -> None:
        let_go = threading.Event()
        asked = len(endpoint.requests)
        endpoint.raw('{"choices": [{"message": {"content": "slow"}}]}', until=let_go)
        task = asyncio.create_task(watched.ask())
        async with asyncio.timeout(60):
            while len(endpoint.requests) == asked:
                await asyncio.sleep(0.01)
        clock.now += 300
        let_go.set()
        await task

    for _ in range(3):
        await ask_slowly()
    assert "took over 270 s" in (await watched.failure()).message


async def test_few_ask_at_once_while_nobody_knows_that_it_answers(watched: Desk, endpoint: Endpoint) -> None:
    let_go = threading.Event()
    endpoint.default = lambda asked: Answered(500, '{"error": {"message": "down"}}', until=let_go)
    desks = [Desk(watched.store, watched.aliases, watched.environment) for _ in range(10)]
    for number, desk in enumerate(desks):
        await desk.models.close()
        desk.models = watched.models
        desk.begin(task=f"Compare invoice {number}.")
    asking = {asyncio.create_task(desk.failure()) for desk in desks}
    while len(asking) > 3:  # until all have come
        held, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert all("has still to give its first answer" in each.result().message for each in held)
    let_go.set()
    await asyncio.gather(*asking)
    assert len(endpoint.requests) == 3


async def test_a_used_up_quota_is_not_asked_again_until_an_operator_or_time_says_so(
    watched: Desk, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.fail(429, code="insufficient_quota", message="no credit")
    assert (await watched.failure()).non_retryable
    again = await watched.failure()
    assert again.non_retryable
    assert "starter.py models default auto" in again.message
    assert len(endpoint.requests) == 1
    clock.now += 301
    endpoint.say("filled up")
    assert (await watched.ask()).message.content == "filled up"


async def test_an_open_breaker_sends_calls_to_the_next_model_with_a_note(watched: Desk, endpoint: Endpoint) -> None:
    watched.aliases = {name: ModelAlias(model=name, base_url=endpoint.url) for name in ("first", "second")}
    await watched.restart()
    watched.begin(models=("first", "second"))
    down(endpoint, 3)
    for _ in range(3):
        await seconds(watched)
    endpoint.say("ok")
    reply = await watched.ask()
    assert reply.model == "second"
    assert len(reply.notes) == 1
    assert "first at" in reply.notes[0]
    assert "3 of its last 3 calls failed" in reply.notes[0]


async def test_an_operators_word_on_one_alias_says_nothing_of_another_of_the_same_model(
    watched: Desk, endpoint: Endpoint
) -> None:
    board = Board()
    watched.board = board
    watched.aliases = {name: ModelAlias(model=MODEL, base_url=endpoint.url) for name in ("first", "second")}
    await watched.restart()
    board.say("first", "open")
    watched.begin(models=("first",))
    assert "opened its breaker" in (await watched.failure()).message
    watched.begin(models=("second",))
    endpoint.say("ok")
    assert (await watched.ask()).message.content == "ok"


async def test_what_an_operator_said_is_heard_by_the_first_calls_of_a_worker_too(
    watched: Desk, endpoint: Endpoint
) -> None:
    board = Board()
    watched.board = board
    await watched.restart()
    board.say("default", "open")
    desks = [Desk(watched.store, watched.aliases, watched.environment) for _ in range(3)]
    for number, desk in enumerate(desks):
        await desk.models.close()
        desk.models = watched.models
        desk.begin(task=f"Compare invoice {number}.")
    failures = await asyncio.gather(*(desk.failure() for desk in desks))
    assert all("opened its breaker" in failure.message for failure in failures)
    assert endpoint.requests == []


async def test_nobody_asks_a_busy_endpoint_sooner_than_it_says(watched: Desk, endpoint: Endpoint, clock: Clock) -> None:
    endpoint.fail(429, message="busy", headers={"retry-after": "30"})
    await seconds(watched)
    clock.now += 10
    assert await seconds(watched) >= 20
    clock.now += 20
    endpoint.say("ok")
    await watched.ask()
    assert len(endpoint.requests) == 2


async def test_an_endpoint_that_stays_busy_ends_with_a_person(watched: Desk, endpoint: Endpoint, clock: Clock) -> None:
    for tries in range(60):
        endpoint.fail(429, message="busy")
        assert (await watched.failure()).non_retryable is (tries == 59)
        clock.now += 100


async def test_requests_a_minute_are_kept_to_by_all_calls_together(
    watched: Desk, endpoint: Endpoint, clock: Clock
) -> None:
    await declare(watched, endpoint, requests_per_minute=2)
    for _ in range(2):
        endpoint.say("ok")
        await watched.ask()
    wait = await seconds(watched)
    assert 55 < wait < 80
    assert len(endpoint.requests) == 2
    clock.now += wait
    endpoint.say("ok")
    await watched.ask()


async def test_tokens_a_minute_count_what_calls_took_and_cap_the_answer(
    watched: Desk, endpoint: Endpoint, clock: Clock
) -> None:
    await declare(watched, endpoint, tokens_per_minute=2_000, max_output=1_500)
    endpoint.say("ok", usage=(400, 1_000))
    await watched.ask()
    assert endpoint.requests[0].body["max_completion_tokens"] <= 1_500
    failure = await watched.failure()
    assert "tokens of this minute are used up (models.default)" in failure.message
    clock.now += 62
    endpoint.say("ok")
    await watched.ask()


async def test_a_request_above_the_limit_is_too_long_and_never_sent(watched: Desk, endpoint: Endpoint) -> None:
    await declare(watched, endpoint, tokens_per_minute=2_000)
    watched.add(UserMessage(content="x" * 10_000))
    failure = await watched.failure()
    assert failure.non_retryable
    assert failure.details[0]["too_long"] is True
    assert "models.default.tokens_per_minute" in failure.message
    assert endpoint.requests == []


async def test_a_model_says_its_window(watched: Desk, endpoint: Endpoint) -> None:
    await declare(watched, endpoint, window=32_000)
    endpoint.say("ok")
    assert (await watched.ask()).window == 32_000


@pytest.mark.parametrize("asked", [None, 100, 9_000])
async def test_no_answer_is_asked_for_that_is_longer_than_the_model_gives(
    watched: Desk, endpoint: Endpoint, asked: int | None
) -> None:
    await declare(watched, endpoint, max_output=4_000)
    endpoint.say("ok")
    await watched.ask(asked)
    assert endpoint.requests[0].body["max_completion_tokens"] == min(asked or 4_000, 4_000)


async def test_a_call_whose_worker_was_lost_again_and_again_ends(watched: Desk, endpoint: Endpoint) -> None:
    watched.beats = ({"failed_calls": 0, "busy_calls": 0, "lost_calls": 4, "under_way": True},)
    failure = await watched.failure()
    assert failure.non_retryable
    assert "lost 5 times" in failure.message
    assert endpoint.requests == []
