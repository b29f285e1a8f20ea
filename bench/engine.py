"""What the engine costs: the same tool calls made by a process and by a hand-written Temporal workflow, in one run.

    .venv/bin/python bench/engine.py [--full] [--pairs 5] [--waiting 500]

Prints ratios of medians of interleaved pairs, with the bar each is held to. No absolute time is worth quoting from a
shared machine.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from temporalio.client import Client
from temporalio.worker import Worker

from bench.measure import (
    Case,
    NeverEnded,
    Pair,
    environment,
    interleaved,
    makespan_ratio,
    nap,
    replay_ratio,
    run_by_hand,
    run_process,
    worker,
)
from bench.shapes import least_seconds
from bench.waiting import memory_ratio

SLOTS = 20
SLOTS_QUEUE = "bench-slots"
STEPS = (("chain", 20), ("chain", 100), ("fan-out", 100), ("fan-out", 400))
GRAPHS = (("random", 50), ("layered", 50), ("random", 400), ("layered", 400))
FULL_GRAPHS = (("random", 2_000), ("layered", 2_000), ("random", 10_000))
FLAT = (100, 1_000)
FULL_FLAT = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Row:
    what: str
    ratio: str
    bar: str = ""
    actions: str = ""
    history: str = ""


def makespan_row(case: Case, pairs: Sequence[Pair]) -> Row:
    ours, by_hand = pairs[-1].ours, pairs[-1].by_hand
    return Row(
        f"{case}: time",
        f"{makespan_ratio(pairs):.2f}",
        "1.10",
        f"{ours.actions / case.size:.2f} / {by_hand.actions / case.size:.2f}",
        f"{ours.bytes / case.size / 1000:.2f} / {by_hand.bytes / case.size / 1000:.2f} kB",
    )


async def rows(client: Client, *, pairs: int, full: bool, waiting: int) -> AsyncIterator[Row]:
    for shape, size in (*STEPS, *GRAPHS, *(FULL_GRAPHS if full else ())):
        case = Case(shape, size)
        yield await _makespan(client, case, 1 if size > 2_000 else min(pairs, 2) if size > 400 else pairs)
    async for row in _flat(client, FULL_FLAT if full else FLAT, pairs=max(1, pairs // 2)):
        yield row
    for shape in ("fan-out", "random"):
        yield await _bounded(client, Case(shape, 60, tool=nap, queue=SLOTS_QUEUE))
    with tempfile.TemporaryDirectory() as folder:
        ratio = await memory_ratio(client, waiting, Path(folder))
    yield Row(f"memory: {waiting:,} waiting runs by 100, cache of 100", f"{ratio:.2f}")


async def _makespan(client: Client, case: Case, pairs: int) -> Row:
    try:
        return makespan_row(case, await interleaved(client, case, pairs))
    except NeverEnded as error:
        return Row(f"{case}: time", f"did not end: {error}"[:90], "1.10")


async def _flat(client: Client, sizes: Sequence[int], pairs: int) -> AsyncIterator[Row]:
    """Time of a step in larger graphs of one width, by that in the smallest; and the replay of a run of 1,000."""
    base: Pair | None = None
    for size in sizes:
        case = Case("layered", size)
        try:
            ran = await interleaved(client, case, 1 if size > 2_000 else pairs)
        except NeverEnded as error:
            yield Row(f"{case}: time a step", f"did not end: {error}"[:90])
            continue
        middle = Pair(
            min((pair.ours for pair in ran), key=lambda one: one.seconds),
            min((pair.by_hand for pair in ran), key=lambda one: one.seconds),
        )
        if base is None:
            base = middle
            continue
        scale = size / sizes[0]
        ours = middle.ours.seconds / base.ours.seconds / scale
        by_hand = middle.by_hand.seconds / base.by_hand.seconds / scale
        yield Row(f"{case}: time a step by that of {sizes[0]}", f"{ours:.2f} / {by_hand:.2f} by hand", "flat")
        if size == 1_000:
            yield Row(f"{case}: replay, CPU", f"{await replay_ratio(middle, pairs):.2f}", "1.50")


async def _bounded(client: Client, case: Case) -> Row:
    """Steps of seconds against what no scheduler can beat."""
    least = least_seconds(case.shape, case.size, SLOTS)
    ours = (await run_process(client, case)).seconds / least
    by_hand = (await run_by_hand(client, case)).seconds / least
    bound = "work / slots" if case.shape == "fan-out" else "critical path"
    return Row(
        f"{case} steps of 1-3 s on {SLOTS} slots: time by {bound}", f"{ours:.2f} / {by_hand:.2f} by hand", "1.05"
    )


async def main(*, pairs: int, full: bool, waiting: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table("", "ours / by hand", "bar", "actions a step", "history a step")
    table.title = "The engine against a hand-written Temporal workflow"
    async with environment() as client, worker(client), _slots(client):
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("warming up", total=None)
            await interleaved(client, Case("chain", 5), 2)
            async for row in rows(client, pairs=pairs, full=full, waiting=waiting):
                progress.update(task, description=f"after {row.what}")
                table.add_row(row.what, row.ratio, row.bar, row.actions, row.history)
    Console().print(table)


def _slots(client: Client) -> Worker:
    return worker(client, SLOTS_QUEUE, SLOTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs for each row; fewer for large graphs")
    parser.add_argument("--full", action="store_true", help="graphs of 2,000 and 10,000 steps too")
    parser.add_argument("--waiting", type=int, default=500, help="runs that wait for an approval at once")
    given = parser.parse_args()
    asyncio.run(main(pairs=given.pairs, full=given.full, waiting=given.waiting))
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    sys.stdout.flush()
    os._exit(0)
