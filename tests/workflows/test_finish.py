"""An agent whose answer comes as a call of the tool `finish`: the run sees an answer, checked and corrected as any."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.office import Office, open_office
from tests.workflows.test_agent import RISK, process


@pytest_asyncio.fixture(params=["chat", "responses"])
async def office(
    request: pytest.FixtureRequest, client: Client, endpoint: Endpoint, tmp_path: Path
) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, api=request.param)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


def paired(messages: list[dict[str, Any]]) -> bool:
    """Whether each call is followed by a result of its own before anybody else speaks, as endpoints insist."""
    open_calls: list[str] = []
    for message in messages:
        if message.get("role") == "tool" or message.get("type") == "function_call_output":
            open_calls.remove(message.get("tool_call_id") or message["call_id"])
        elif message.get("type") == "function_call":
            open_calls.append(message["call_id"])
        elif open_calls:
            return False
        open_calls += [call["id"] for call in message.get("tool_calls") or ()]
    return not open_calls


async def test_an_agent_calls_its_tools_and_then_the_one_that_ends_its_work(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("do_work", {"what": "first"}), ("finish", {"risk": "high"}), text="Working and done at once.")
    endpoint.call(("finish", {"risk": "low"}), text="Done now.")
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.handle.result()).output == {"risk": "low"}
    assert [what for _, _, what in office.ledger] == ["first"]
    assert paired(endpoint.requests[1].messages)


async def test_a_wrong_answer_is_corrected_in_a_conversation_that_endpoints_take(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(("do_look", {}))
    endpoint.call(("finish", {"risk": "none"}))
    endpoint.call(("finish", {}))
    endpoint.call(("finish", {"risk": "high"}))
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.handle.result()).output == {"risk": "high"}
    assert all(paired(asked.messages) for asked in endpoint.requests)
    told = endpoint.requests[-1].messages[-1]
    assert "does not fit its schema" in (told.get("content") or told["output"])


async def test_an_answer_that_never_fits_parks_the_step_all_the_same(office: Office, endpoint: Endpoint) -> None:
    for _ in range(3):
        endpoint.call(("finish", {"risk": "none"}))
    run = await office.start(process(output=RISK), {"name": "Ada"})
    assert (await run.parked("ask")).incidents[0].error.type == "OutputInvalid"
    assert len(endpoint.requests) == 3


async def test_an_answer_that_is_no_object_reaches_the_run_unwrapped(office: Office, endpoint: Endpoint) -> None:
    endpoint.call(("finish", {"answer": 3}))
    endpoint.call(("finish", {"answer": ["a", "b"]}))
    run = await office.start(process(output={"type": "array", "items": {"type": "string"}}), {"name": "Ada"})
    assert (await run.handle.result()).output == ["a", "b"]
    assert paired(endpoint.requests[1].messages)
