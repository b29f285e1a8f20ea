"""`starter.py models`: what is declared, what workers find, and an operator's word that they hear."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activities.boards.sqlite import SqliteBoard
from activities.conversations import SqliteConversations
from runtime.settings import load_settings
from tests.activities.model.conftest import shut
from tests.activities.model.harness import KEY, Desk
from tests.cli.conftest import Starter
from tests.endpoint import Endpoint

MODELS = """
[models.default]
model = "gpt-5.4-mini"
base_url = "http://robot:hunter2@127.0.0.1:PORT/v1"
window = 200000
max_output = 8000
input_price = 2
output_price = 10
requests_per_minute = 60
tokens_per_minute = 90000

[models.local]
model = "qwen3"
base_url = "http://127.0.0.1:PORT/v1"
key_env = "LOCAL_KEY"
"""


@pytest.fixture
def declared(settings: object, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "surefoot.toml"
    file.write_text(MODELS.replace("PORT", endpoint.url.split(":")[2].removesuffix("/v1")))
    monkeypatch.setenv("SUREFOOT_CONFIG", str(file))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest_asyncio.fixture
async def desk(declared: None, tmp_path: Path) -> AsyncIterator[Desk]:
    """A worker's model calls, with the settings and the board of the command line."""
    settings = load_settings()
    board = SqliteBoard(settings.home / "board.db")
    store = SqliteConversations(tmp_path / "c.db")
    opened = Desk(store, settings.models, {"OPENAI_API_KEY": KEY}, board=board)
    yield opened
    await shut(opened)
    await board.close()


async def shown(starter: Starter, alias: str = "default") -> dict[str, Any]:
    answer = await starter("models", "--json")
    assert answer.status == 0, answer.err
    found: dict[str, Any] = next(model for model in answer.json["models"] if model["alias"] == alias)
    return found


async def until_told(starter: Starter, **expected: Any) -> dict[str, Any]:
    """What the worker says of `default`, once it says this."""
    async with asyncio.timeout(60):
        while True:
            for state in (await shown(starter))["workers"]:
                if {key: state[key] for key in expected} == expected:
                    return dict(state)


async def test_what_is_declared_is_shown_and_no_secret(starter: Starter, declared: None) -> None:
    answer = await starter("models", "--json")
    default, local = answer.json["models"]
    assert (default["alias"], default["model"], default["window"]) == ("default", "gpt-5.4-mini", 200_000)
    assert (default["key_set"], local["key_set"], local["key_env"]) == (True, False, "LOCAL_KEY")
    assert (default["requests_per_minute"], default["tokens_per_minute"]) == (60, 90_000)
    assert (default["forced"], default["workers"]) == (None, [])
    printed = (await starter("models")).out
    for part in ("default", "gpt-5.4-mini", "LOCAL_KEY not set", "60 requests", "not asked yet"):
        assert part in " ".join(printed.split())
    for secret in ("hunter2", KEY):
        assert secret not in answer.out + printed


async def test_without_settings_the_rehearsal_model_is_shown(starter: Starter) -> None:
    assert (await shown(starter))["model"] == "rehearsal"


async def test_what_a_worker_finds_is_shown(starter: Starter, desk: Desk, endpoint: Endpoint) -> None:
    endpoint.say("hello")
    await desk.ask()
    await until_told(starter, state="closed", calls=1, requests=1, tokens=120)
    for _ in range(2):
        endpoint.fail(500, message="down")
        await desk.failure()
    state = await until_told(starter, state="open")
    assert "2 of its last 3 calls failed" in state["why"]
    assert "answered 500: down" in " ".join((await starter("models")).out.split())


async def test_a_worker_that_stopped_is_shown_no_more(starter: Starter, desk: Desk, endpoint: Endpoint) -> None:
    endpoint.say("hello")
    await desk.ask()
    await until_told(starter, state="closed")
    await desk.models.close()
    assert (await shown(starter))["workers"] == []


async def test_an_operator_stops_calls_and_lets_them_go_on(starter: Starter, desk: Desk, endpoint: Endpoint) -> None:
    forced = await starter("models", "default", "open", "--reason", "costs too much", "--json")
    assert forced.json["forced"] | {"at": ""} == {
        "state": "open",
        "at": "",
        "by": "user:sam",
        "reason": "costs too much",
    }
    failure = await desk.failure()
    assert "user:sam opened its breaker (costs too much)" in failure.message
    assert not failure.non_retryable
    assert failure.next_retry_delay is not None
    assert "forced open by user:sam" in " ".join((await starter("models")).out.split())
    await starter("models", "default", "auto")
    await desk.restart()
    endpoint.say("hello")
    assert (await desk.ask()).message.content == "hello"
    assert (await shown(starter))["forced"] is None
    assert len(endpoint.requests) == 1


async def test_an_operator_has_a_model_asked_whatever_its_breaker_finds(
    starter: Starter, desk: Desk, endpoint: Endpoint
) -> None:
    await starter("models", "default", "close")
    for _ in range(4):
        endpoint.fail(500, message="down")
        await desk.failure()
    endpoint.say("hello")
    assert (await desk.ask()).message.content == "hello"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("models", "defualt", "open"), "there is no model alias 'defualt'; there are default, local"),
        (("models", "default"), "open, close or auto"),
        (("models", "default", "shut"), "shut"),
    ],
)
async def test_what_is_no_model_or_no_state_is_refused(
    starter: Starter, declared: None, words: tuple[str, ...], says: str
) -> None:
    answer = await starter(*words)
    assert answer.status == 2
    assert says in answer.err
