"""What a repair costs: a run of 1,000 steps with 20 incidents, each repaired, by ours and by a hand-written workflow.

    .venv/bin/python bench/repair.py [--steps 1000] [--incidents 20] [--pairs 3]

The time of a repair is from sending the update until the step's tool is called again: the directory is asked, the
repair is taken, the step starts. By hand, the update sets a flag and nobody is asked.
"""

import argparse
import asyncio
import logging
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from rich.console import Console
from rich.table import Table
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.records.writing import write_record_activity
from activities.tools.runner import tool_activities
from bench.measure import ACTIVITIES, RECORDS, add, environment
from bench.repair_by_hand import ByHand, brokens
from contracts.activities import RESOLVE_PEOPLE
from contracts.decisions import Receipt, Repair
from contracts.names import PROCESS_WORKFLOW, REPAIR, VIEW_QUERY
from contracts.people import People, ResolvePeople
from contracts.run import Definition, RunRequest, RunView
from contracts.tools import ToolContext, ToolError, tool
from language.load import load_process
from runtime.sandbox import patient, workflow_runner
from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow

QUEUE = "bench-repair"
BY = "user:op"
CALLED: "dict[str, asyncio.Future[float]]" = {}
"""When the tool of a step was called again, by its key; there is none before it was called at all."""


@tool(name="bench.broken", effect="write", idempotent=True)
async def broken(ctx: ToolContext, number: int) -> int:
    """Fails once."""
    if ctx.idempotency_key not in CALLED:
        CALLED[ctx.idempotency_key] = asyncio.get_running_loop().create_future()
        raise ToolError(f"{number} is broken", retry=False)
    CALLED[ctx.idempotency_key].set_result(time.perf_counter())
    return number


@activity.defn(name=RESOLVE_PEOPLE.name)
async def resolve(request: ResolvePeople) -> People:
    return People(users=dict.fromkeys(request.names, (BY,)))


@dataclass
class Taken:
    """Seconds of each repair: one after the other, then all at once; of a whole view; of the run in all."""

    alone: list[float] = field(default_factory=list)
    at_once: list[float] = field(default_factory=list)
    view: float = 0.0


def definition(steps: int, incidents: int) -> Definition:
    """Steps that need nothing, and of the broken ones each with a step that needs it."""
    lines = ["process: bench", "steps:"]
    names = brokens(steps, incidents)
    for index in range(steps):
        called = "bench.broken" if index in names else "bench.add"
        needs = f", needs: [s{index - 1}]" if index - 1 in names else ""
        lines.append(f"  s{index}: {{tool: {called}, with: {{number: {index}}}{needs}}}")
    return load_process("\n".join(lines), "bench.yaml", tools={made.spec.name: made.spec for made in (add, broken)})


async def ours(client: Client, made: Definition, steps: int, incidents: int) -> Taken:
    run = f"bench-{uuid7()}"
    request = RunRequest(process="bench", input={}, definition=made)
    handle = await client.start_workflow(PROCESS_WORKFLOW, request, id=run, task_queue=QUEUE)

    async def parked() -> bool:
        view: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
        done = sum(step.status == "completed" for step in view.steps)
        return len(view.incidents) == incidents and done == steps - 2 * incidents

    async def mend(step: str) -> None:
        said = Repair(step=step, action="retry", by=BY)
        await handle.execute_update(REPAIR, said, result_type=Receipt)

    return await _repaired(handle, brokens(steps, incidents), parked, mend)


async def by_hand(client: Client, steps: int, incidents: int) -> Taken:
    run = f"bench-{uuid7()}"
    handle = await client.start_workflow(ByHand.run, args=[steps, incidents], id=run, task_queue=QUEUE)

    async def parked() -> bool:
        told: tuple[int, int] = tuple(await handle.query(ByHand.view))
        return told == (incidents, steps - 2 * incidents)

    async def mend(step: str) -> None:
        await handle.execute_update(ByHand.repair, step)

    return await _repaired(handle, brokens(steps, incidents), parked, mend)


async def _repaired(
    handle: WorkflowHandle[Any, Any],
    names: list[int],
    parked: Callable[[], Awaitable[bool]],
    mend: Callable[[str], Awaitable[None]],
) -> Taken:
    """Repair half of the incidents one by one, the other half at once, and let the run come to its end."""
    taken = Taken()
    async with asyncio.timeout(120):
        while not await parked():  # noqa: ASYNC110 - a run is asked, since it cannot tell
            await asyncio.sleep(0.2)
    began = time.perf_counter()
    await parked()
    taken.view = time.perf_counter() - began

    async def repair(index: int) -> float:
        began = time.perf_counter()
        await mend(f"s{index}")
        return await CALLED[f"{handle.id}/s{index}"] - began

    half = len(names) // 2
    for index in names[:half]:
        taken.alone.append(await repair(index))
    taken.at_once += await asyncio.gather(*map(repair, names[half:]))
    await handle.result()
    return taken


def rows(mine: list[Taken], theirs: list[Taken]) -> Table:
    table = Table("", "ours: median", "max", "by hand: median", "max", "ratio of medians")
    table.title = "A repair, in ms from sending it until its step is called again; the bar is 1,000"

    def row(what: str, of: Callable[[Taken], list[float]]) -> None:
        both = [[1000 * second for taken in side for second in of(taken)] for side in (mine, theirs)]
        medians = [statistics.median(times) for times in both]
        most = [max(times) for times in both]
        cells = (medians[0], most[0], medians[1], most[1])
        table.add_row(what, *(f"{cell:.0f}" for cell in cells), f"{medians[0] / medians[1]:.2f}")

    row("one after the other", lambda taken: taken.alone)
    row("at once", lambda taken: taken.at_once)
    row("a view of the run", lambda taken: [taken.view])
    return table


async def main(*, steps: int, incidents: int, pairs: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    made = definition(steps, incidents)
    mine: list[Taken] = []
    theirs: list[Taken] = []
    async with environment() as client:
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[ProcessWorkflow, AgentWorkflow, ByHand],
            activities=[*tool_activities([add, broken]), resolve, write_record_activity(RECORDS)],
            workflow_runner=workflow_runner(),
            max_concurrent_activities=ACTIVITIES,
            max_eager_activity_reservations_per_workflow_task=ACTIVITIES,
        )
        async with patient(worker):
            for _ in range(pairs):
                mine.append(await ours(client, made, steps, incidents))
                theirs.append(await by_hand(client, steps, incidents))
    Console(width=120).print(rows(mine, theirs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000, help="of the run")
    parser.add_argument("--incidents", type=int, default=20, help="steps of it that fail once")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each way, in turn")
    given = parser.parse_args()
    asyncio.run(main(steps=given.steps, incidents=given.incidents, pairs=given.pairs))
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    sys.stdout.flush()
    os._exit(0)
