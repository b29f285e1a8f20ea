"""The hand-written workflow that the engine is measured against."""

import asyncio
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from bench.shapes import MODULUS, naps, needs
    from contracts.tools import ToolCall, ToolResult

MAX_PENDING = 500
"""Activities at once: the same bound as the engine's."""


@workflow.defn
class ByHand:
    """What a careful person would write for the same calls: typed, with a key, a retry policy and a summary. The graph
    is part of the code, so it is not in the input."""

    @workflow.run
    async def run(self, shape: str, size: int, tool: str) -> int:
        if shape == "chain":
            number = 0
            for index in range(size):
                number = await self._call(tool, shape, size, index, number)
            return number
        if shape == "fan-out":
            calls = (self._call(tool, shape, size, index, index % MODULUS) for index in range(size))
            return sum(await asyncio.gather(*calls))
        return await self._graph(shape, size, tool)

    async def _graph(self, shape: str, size: int, tool: str) -> int:
        bound = asyncio.Semaphore(MAX_PENDING)
        tasks: dict[int, asyncio.Task[int]] = {}

        async def step(index: int, before: tuple[int, ...]) -> int:
            numbers = [await tasks[need] for need in before]
            number = sum(numbers) % MODULUS if numbers else index % MODULUS
            async with bound:
                return await self._call(tool, shape, size, index, number)

        for index, before in enumerate(needs(shape, size)):
            tasks[index] = asyncio.create_task(step(index, before))
        return sum(await asyncio.gather(*tasks.values()))

    async def _call(self, tool: str, shape: str, size: int, index: int, number: int) -> int:
        run, step = workflow.info().workflow_id, f"s{index}"
        args = {"number": number}
        if tool == "bench.nap":
            args["seconds"] = naps(shape, size)[index]
        result: ToolResult = await workflow.execute_activity(
            tool,
            ToolCall(args=args, key=f"{run}/{step}", run=run, step=step),
            result_type=ToolResult,
            activity_id=step,
            summary=f"{step}: {tool} number={number}",
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=10),
        )
        output: int = result.output
        return output
