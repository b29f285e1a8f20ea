"""The hand-written workflow that repairs are measured against."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.tools import ToolCall, ToolResult

MAX_PENDING = 500
"""Activities at once: the same bound as the engine's."""


def brokens(steps: int, incidents: int) -> list[int]:
    """The indices of the steps that fail once, evenly spread."""
    return [index * steps // incidents for index in range(incidents)]


@workflow.defn(name="RepairByHand")
class ByHand:
    """The same calls; one that fails waits until the update says that it is to be made again."""

    def __init__(self) -> None:
        self._parked: set[str] = set()
        self._done = 0

    @workflow.run
    async def run(self, steps: int, incidents: int) -> None:
        bound = asyncio.Semaphore(MAX_PENDING)
        broken = set(brokens(steps, incidents))

        async def step(index: int) -> None:
            async with bound:
                await self._call("bench.add", index)

        async def failing(index: int) -> None:
            async with bound:
                try:
                    await self._call("bench.broken", index)
                except ActivityError:
                    self._parked.add(f"s{index}")
            await workflow.wait_condition(lambda: f"s{index}" not in self._parked)
            await self._call("bench.broken", index)
            await step(index + 1)

        after = {index + 1 for index in broken}
        plain = (step(index) for index in range(steps) if index not in broken and index not in after)
        await asyncio.gather(*plain, *map(failing, sorted(broken)))

    @workflow.update
    async def repair(self, step: str) -> None:
        self._parked.discard(step)

    @workflow.query
    def view(self) -> tuple[int, int]:
        return len(self._parked), self._done

    async def _call(self, tool: str, index: int) -> None:
        run, step = workflow.info().workflow_id, f"s{index}"
        await workflow.execute_activity(
            tool,
            ToolCall(args={"number": index}, key=f"{run}/{step}", run=run, step=step),
            result_type=ToolResult,
            activity_id=step,
            summary=f"{step}: {tool} number={index}",
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        self._done += 1
