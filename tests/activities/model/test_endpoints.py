"""Which endpoint and which API answer, and what it costs."""

from pathlib import Path
from typing import Any

import pytest

from activities.conversations import SqliteConversations
from activities.model.endpoints import resolve
from activities.model.prices import priced
from contracts.model import Usage
from contracts.settings import ModelAlias, describe_model
from tests.activities.model.conftest import shut
from tests.activities.model.harness import Desk
from tests.endpoint import Endpoint

KEY = {"OPENAI_API_KEY": "sk-canary-000000"}
LOCAL = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("alias", "environment", "setting", "chosen"),
    [
        ({}, KEY, None, "responses"),
        ({}, LOCAL, None, "chat"),
        ({}, KEY, "chat", "chat"),
        ({}, LOCAL, "responses", "responses"),
        ({"base_url": "http://127.0.0.1:2/v1"}, KEY, None, "chat"),
        ({"base_url": "http://127.0.0.1:2/v1", "api": "responses"}, KEY, "chat", "responses"),
        ({"api": "chat"}, KEY, "responses", "chat"),
    ],
)
def test_the_api_is_the_alias_s_then_the_setting_s_then_the_url_s(
    alias: dict[str, Any], environment: dict[str, str], setting: Any, chosen: str
) -> None:
    endpoint = resolve("default", {"default": ModelAlias(**alias)}, environment, setting)
    assert endpoint is not None
    assert endpoint.api == chosen


async def test_an_endpoint_from_the_environment_needs_no_settings_and_no_key(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    environment = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_MODEL": "qwen3"}
    desk = Desk(SqliteConversations(tmp_path / "c.db"), {}, environment)
    endpoint.say("hello")
    reply = await desk.ask()
    await shut(desk)
    assert (reply.model, reply.rehearsal) == ("qwen3", False)
    assert endpoint.requests[0].path == "/v1/chat/completions"
    assert endpoint.requests[0].headers["authorization"].startswith("Bearer ")


def test_nothing_set_up_is_the_rehearsal_model() -> None:
    assert resolve("default", {}, {}, None) is None
    assert describe_model({}, {}).startswith("rehearsal model")


def test_the_screen_says_which_model_answers_where_and_never_the_key() -> None:
    said = describe_model({}, {**LOCAL, **KEY, "OPENAI_MODEL": "qwen3"})
    assert said == "qwen3 at http://127.0.0.1:1/v1"
    endpoint = resolve("default", {}, KEY, None)
    assert KEY["OPENAI_API_KEY"] not in f"{endpoint}"


def _cost(usage: Usage, environment: dict[str, str], **alias: Any) -> Usage:
    endpoint = resolve("default", {"default": ModelAlias(**alias)}, environment, None)
    assert endpoint is not None
    return priced(usage, endpoint)


USED = Usage(calls=1, input_tokens=1_000_000, output_tokens=100_000)


def test_the_prices_of_the_alias_go_first() -> None:
    found = _cost(USED, KEY, model="gpt-5.4-mini", input_price=2.0, output_price=10.0)
    assert (found.cost, found.unpriced) == (3.0, 0)


def test_a_price_of_zero_is_a_price() -> None:
    found = _cost(USED, LOCAL, model="mine", input_price=0, output_price=0)
    assert (found.cost, found.unpriced) == (0.0, 0)


def test_a_price_of_output_alone_counts() -> None:
    assert _cost(USED, KEY, model="gpt-5.4-mini", output_price=10.0).cost == 1.0


def test_the_public_list_prices_what_it_knows_and_the_rest_is_unpriced() -> None:
    assert _cost(USED, KEY, model="gpt-5.4-mini").cost > 0
    for unknown in (_cost(USED, KEY, model="no-such-model"), _cost(USED, LOCAL, model="gpt-5.4-mini")):
        assert (unknown.cost, unknown.unpriced) == (0.0, 1)
