"""What endpoints really answered, served over HTTP, and what each answer means: the table, row by row."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from activities.model.errors import ANOTHER_MODEL, LONG_WAIT, Kind
from contracts.base import Contract, Json
from contracts.settings import ModelAlias
from tests.activities.model.harness import Desk
from tests.endpoint import MODEL, Endpoint

FOLDER = Path(__file__).parent / "recorded"

RETRIED = ("passing", "busy", "slip", "unknown")


class Recorded(Contract):
    """One condition. `source`: who saw it. `wait`: seconds before which the endpoint is not to be asked again."""

    endpoint: str
    source: str = Field(pattern=r"^https://")
    status: int
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    body: Json
    means: Kind
    wait: float | None = None
    says: str

    def serve(self, endpoint: Endpoint) -> None:
        text = self.body if self.content_type != "application/json" else json.dumps(self.body)
        endpoint.raw(text, status=self.status, headers=self.headers, content_type=self.content_type)


ALL = {file.stem: Recorded.model_validate_json(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


@pytest.fixture(params=ALL)
def recorded(request: pytest.FixtureRequest, endpoint: Endpoint) -> Recorded:
    answer = ALL[request.param]
    answer.serve(endpoint)
    return answer


def test_there_are_many_conditions_of_many_makes() -> None:
    assert len(ALL) >= 25
    assert len({answer.endpoint.split()[0].rstrip(",") for answer in ALL.values()}) >= 10
    assert {answer.means for answer in ALL.values()} >= {"passing", "busy", "spent", "too_long", "mistaken", "missing"}


async def test_it_means_what_the_table_says(desk: Desk, endpoint: Endpoint, recorded: Recorded) -> None:
    if recorded.means == "filtered":
        reply = await desk.ask()
        assert reply.finish == "content_filter"
        assert recorded.says in reply.message.content
        return
    failure = await desk.failure()
    assert failure.type == "ModelFailed"
    assert recorded.says in failure.message
    assert MODEL in failure.message
    assert endpoint.url in failure.message
    assert failure.non_retryable is (recorded.means not in RETRIED)
    details: dict[str, Any] = failure.details[0]
    assert details["too_long"] is (recorded.means == "too_long")
    assert details["applied"] == "no"
    delay = failure.next_retry_delay
    if recorded.means not in RETRIED:
        assert delay is None
    elif recorded.wait is not None:
        assert delay is not None
        assert recorded.wait <= delay.total_seconds() <= 1.3 * recorded.wait


async def test_the_next_model_of_a_chain_is_asked_where_that_helps(
    desk: Desk, endpoint: Endpoint, recorded: Recorded
) -> None:
    desk.aliases = {name: ModelAlias(model=name, base_url=endpoint.url, key_env=name.upper()) for name in ("a", "b")}
    await desk.restart()
    desk.begin(models=("a", "b"))
    endpoint.say("from the second")
    long_wait = recorded.wait is not None and recorded.wait > LONG_WAIT.total_seconds()
    if recorded.means in ANOTHER_MODEL or long_wait:
        reply = await desk.ask()
        assert reply.message.content == "from the second"
        assert [note for note in reply.notes if recorded.says.replace("OPENAI_API_KEY", "A") in note]
        assert reply.notes[0].endswith("b answers instead")
    elif recorded.means == "filtered":
        assert (await desk.ask()).finish == "content_filter"
    else:
        await desk.failure()
        assert len(endpoint.requests) == 1
