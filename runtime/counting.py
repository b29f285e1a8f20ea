"""How many runs are on their way, for `/metrics`: what the server counts, since no worker has seen them all."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.service import RPCError

from contracts.metrics import RUNS_OPEN
from contracts.names import PROCESS_ATTRIBUTE, STATUS_ATTRIBUTE

EVERY_SECONDS = 30.0
OPEN = ("running", "waiting", "attention")

log = structlog.get_logger()


@asynccontextmanager
async def counting_runs(
    client: Client, meter: MetricMeter | None, processes: Collection[str], every: float = EVERY_SECONDS
) -> AsyncIterator[None]:
    """Keep the gauge current for the length of the block; without a meter nothing is counted."""
    if meter is None:
        yield
        return
    counting = asyncio.create_task(_keep_counting(client, meter, processes, every))
    try:
        yield
    finally:
        counting.cancel()
        await asyncio.wait([counting])


async def _keep_counting(client: Client, meter: MetricMeter, processes: Collection[str], every: float) -> None:
    while True:
        try:
            for process in processes:
                for status in OPEN:
                    found = await client.count_workflows(
                        f"ExecutionStatus = 'Running' AND {PROCESS_ATTRIBUTE.name} = '{process}' "
                        f"AND {STATUS_ATTRIBUTE.name} = '{status}'"
                    )
                    RUNS_OPEN.set(meter, found.count, process=process, status=status)
        except RPCError as error:
            log.warning("open runs could not be counted", reason=error.message)
        await asyncio.sleep(every)
