"""How a worker's breakers stand, for `/metrics`: seen from time to time, since one that nobody calls changes too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from temporalio.common import MetricMeter

from activities.breaker import BreakerView
from contracts.board import ModelState
from contracts.metrics import BREAKER_OPEN, TOOL_BREAKER_OPEN

EVERY_SECONDS = 2.0
"""The pause of a model's breaker that has just opened."""


@asynccontextmanager
async def showing_breakers(
    meter: MetricMeter | None,
    models: Callable[[], Iterable[ModelState]],
    hosts: Callable[[], Iterable[BreakerView]],
    every: float = EVERY_SECONDS,
) -> AsyncIterator[None]:
    """Keep the gauges current for the length of the block; without a meter nothing is shown."""
    if meter is None:
        yield
        return
    showing = asyncio.create_task(_keep_showing(meter, models, hosts, every))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _keep_showing(
    meter: MetricMeter,
    models: Callable[[], Iterable[ModelState]],
    hosts: Callable[[], Iterable[BreakerView]],
    every: float,
) -> None:
    while True:
        for model in models():
            BREAKER_OPEN.set(meter, int(model.state == "open"), model=model.alias)
        for host in hosts():
            TOOL_BREAKER_OPEN.set(meter, int(host.state == "open"), host=host.name)
        await asyncio.sleep(every)
