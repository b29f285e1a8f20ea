"""Calls a minute, at a clock that the test moves."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from activities.tools.rates import PATIENCE, Rates
from contracts.tools import ToolError
from tests.activities.tools.declared import declared
from tests.service import open_service


@dataclass
class Clock:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@given(some.integers(1, 600), some.lists(some.floats(0, 30), max_size=60))
def test_no_minute_holds_more_calls_than_the_rate_and_one(rate: int, pauses: list[float]) -> None:
    clock = Clock()
    rates = Rates(clock, clock.sleep)
    made: list[float] = []
    waits: list[timedelta | None] = []

    async def call() -> None:
        for pause in pauses:
            clock.now += pause
            before = len(clock.slept)
            try:
                await rates.turn("erp", rate)
                made.append(clock.now + sum(clock.slept[before:]))
            except ToolError as error:
                waits.append(error.after)

    asyncio.run(call())
    assert all(wait is not None and wait.total_seconds() > PATIENCE for wait in waits)
    for start in made:
        assert sum(start <= moment < start + 60 for moment in made) <= rate + 1


async def test_tools_of_a_group_share_its_rate_and_a_tool_has_its_own(tmp_path: Path) -> None:
    with open_service() as service:
        text = f"""
        http:
          slow: {{base: "{service.base}", rate: 1, tools: {{a: {{path: /a}}, b: {{path: /b}}}}}}
          own: {{base: "{service.base}", tools: {{a: {{path: /a, rate: 1}}, b: {{path: /b}}}}}}
        """
        async with declared(tmp_path, text) as call:
            await call("slow.a")
            error = await call.failure("slow.b")
            assert "slow may be called 1 times a minute" in str(error)
            assert error.details[0]["after"] == pytest.approx(60, abs=10)
            await call("own.b")
            await call("own.b")
        assert len(service.requests) == 3
