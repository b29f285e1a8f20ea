"""What the engine costs: the same tool calls made by a process and by a hand-written Temporal workflow, in one run.

    .venv/bin/python bench/engine.py [--pairs 7]

Prints ratios of medians of interleaved pairs: how long, and how many history events and bytes. No absolute time is
worth quoting from a shared machine.
"""

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.tools.runner import tool_activities
from bench.by_hand import ByHand
from contracts.names import PROCESS_WORKFLOW, SEARCH_ATTRIBUTES
from contracts.run import Definition, RunRequest
from contracts.tools import tool
from language.load import load_process
from runtime.client import data_converter
from runtime.sandbox import workflow_runner
from runtime.server import server_options, temporal_binary
from runtime.settings import Settings
from workflows.agent import AgentWorkflow
from workflows.process import ProcessWorkflow

QUEUE = "bench"


@tool(name="bench.add", effect="write", idempotent=True)
async def add(number: int) -> int:
    """One more."""
    return number + 1


def definition(shape: str, size: int) -> Definition:
    lines = ["process: bench", "steps:"]
    for index in range(size):
        number = f"${{ steps.s{index - 1}.output }}" if shape == "chain" and index else str(index)
        lines.append(f'  s{index}: {{tool: bench.add, with: {{number: "{number}"}}}}'.replace(f'"{index}"', str(index)))
    return load_process("\n".join(lines), "bench.yaml", tools={"bench.add": add.spec}, processes=())


@dataclass(frozen=True)
class Cost:
    seconds: float
    events: int
    bytes: int


async def measured(client: Client, start: Callable[[str], Awaitable[object]]) -> Cost:
    run = f"bench-{uuid7()}"
    began = time.perf_counter()
    await start(run)
    seconds = time.perf_counter() - began
    history = await client.get_workflow_handle(run).fetch_history()
    return Cost(seconds, len(history.events), sum(event.ByteSize() for event in history.events))


async def compare(client: Client, shape: str, size: int, pairs: int) -> list[str]:
    made = definition(shape, size)

    async def process(run: str) -> object:
        request = RunRequest(process="bench", input={}, definition=made)
        return await client.execute_workflow(PROCESS_WORKFLOW, request, id=run, task_queue=QUEUE)

    async def by_hand(run: str) -> object:
        return await client.execute_workflow(ByHand.run, args=[shape, size], id=run, task_queue=QUEUE)

    await measured(client, process)
    await measured(client, by_hand)
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(pairs):
        ours.append(await measured(client, process))
        theirs.append(await measured(client, by_hand))
    ratio = statistics.median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))
    events = f"{ours[-1].events} / {theirs[-1].events}"
    sizes = f"{ours[-1].bytes / size / 1000:.2f} / {theirs[-1].bytes / size / 1000:.2f} kB"
    return [f"{shape} of {size}", f"{ratio:.2f}", events, sizes]


async def main(pairs: int) -> None:
    table = Table(
        "shape", "time, ours / by hand", "events", "history a step", title="Engine against a hand-written workflow"
    )
    home = tempfile.TemporaryDirectory()
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary()),
        dev_server_extra_args=server_options(),
        search_attributes=SEARCH_ATTRIBUTES,
        data_converter=data_converter(Settings(home=Path(home.name))),
        dev_server_log_level="error",
    )
    worker = Worker(
        environment.client,
        task_queue=QUEUE,
        workflows=[ProcessWorkflow, AgentWorkflow, ByHand],
        activities=list(tool_activities([add])),
        workflow_runner=workflow_runner(),
        max_concurrent_activities=200,
        max_eager_activity_reservations_per_workflow_task=200,
    )
    with home:
        async with environment, worker:
            for shape, size in (("chain", 20), ("chain", 100), ("fan-out", 100), ("fan-out", 400)):
                table.add_row(*await compare(environment.client, shape, size, pairs))
    Console().print(table)
    gc.collect()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="interleaved pairs for each row")
    asyncio.run(main(parser.parse_args().pairs))
