"""The hand-written workflow that the engine is measured against."""

import asyncio
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.tools import ToolCall, ToolResult


@workflow.defn
class ByHand:
    """What a careful person would write for the same calls: typed, with a key, a retry policy and a summary."""

    @workflow.run
    async def run(self, shape: str, size: int) -> int:
        if shape == "chain":
            number = 0
            for index in range(size):
                number = await self._add(f"s{index}", number)
            return number
        return sum(await asyncio.gather(*(self._add(f"s{index}", index) for index in range(size))))

    async def _add(self, step: str, number: int) -> int:
        run = workflow.info().workflow_id
        result: ToolResult = await workflow.execute_activity(
            "bench.add",
            ToolCall(args={"number": number}, key=f"{run}/{step}", run=run, step=step),
            result_type=ToolResult,
            activity_id=step,
            summary=f"{step}: bench.add number={number}",
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=10),
        )
        output: int = result.output
        return output
