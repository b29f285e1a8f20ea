"""The bad days of an endpoint, as its client sees them; most requests go through as ever."""

import asyncio
from pathlib import Path

import httpx2
import openai
import pytest

from activities.faults.dice import Dice
from activities.faults.endpoint import HUGE, FaultyTransport
from contracts.faults import Faults, ModelFaults
from tests.endpoint import open_endpoint

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def dice(tmp_path: Path, seed: int = 0, **shares: float) -> Dice:
    faults = Faults(namespace="default", seed=seed, longest="10ms", model=ModelFaults(**shares))
    return Dice(faults, tmp_path / "faults.log")


async def answers(dice: Dice, times: int = 1) -> list[httpx2.Response]:
    with open_endpoint() as endpoint:
        for _ in range(times):
            endpoint.say("hello")
        async with httpx2.AsyncClient(transport=FaultyTransport(dice)) as client:
            return [await client.post(f"{endpoint.url}/chat/completions", json=ASKED) for _ in range(times)]


async def test_without_shares_every_request_goes_through(tmp_path: Path) -> None:
    found = await answers(dice(tmp_path), times=5)
    assert [answer.json()["choices"][0]["message"]["content"] for answer in found] == ["hello"] * 5
    assert not (tmp_path / "faults.log").exists()


async def test_each_fault_looks_as_from_a_real_endpoint(tmp_path: Path) -> None:
    (busy,) = await answers(dice(tmp_path, busy=1))
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    (garbage,) = await answers(dice(tmp_path, garbage=1))
    assert garbage.text.startswith("<html>")
    (huge,) = await answers(dice(tmp_path, huge=1))
    assert len(huge.content) > HUGE
    (refusing,) = await answers(dice(tmp_path, refusing=1))
    assert refusing.json()["choices"][0]["message"]["refusal"] == "fault: the model refuses"
    (slow,) = await answers(dice(tmp_path, slow=1))
    assert slow.json()["choices"][0]["message"]["content"] == "hello"
    with pytest.raises(httpx2.ConnectError):
        await answers(dice(tmp_path, down=1))
    with pytest.raises(httpx2.RemoteProtocolError):
        await answers(dice(tmp_path, cut=1))
    made = [line.split()[0] for line in (tmp_path / "faults.log").read_text().splitlines()]
    assert made == [f"model.{kind}" for kind in ("busy", "garbage", "huge", "refusing", "slow", "down", "cut")]


async def test_the_client_that_asks_models_goes_through_it(tmp_path: Path) -> None:
    carrier = openai.DefaultAsyncHttpxClient(transport=FaultyTransport(dice(tmp_path, busy=1)))
    async with openai.AsyncOpenAI(
        base_url="http://127.0.0.1:1/v1", api_key="k", max_retries=0, http_client=carrier
    ) as it:
        with pytest.raises(openai.RateLimitError):
            await it.chat.completions.create(model="m", messages=[])


async def test_the_same_seed_makes_the_same_faults(tmp_path: Path) -> None:
    async def statuses(seed: int) -> list[int]:
        return [answer.status_code for answer in await answers(dice(tmp_path, seed, busy=0.5), times=20)]

    first, again, other = await asyncio.gather(statuses(1), statuses(1), statuses(2))
    assert {*first} == {200, 429}
    assert first == again != other
