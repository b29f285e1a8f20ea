"""What the engine costs: the same tool calls made by a process and by a hand-written Temporal workflow, in one run.

    .venv/bin/python bench/engine.py [--full] [--pairs 5] [--waiting 500] [--only TEXT]

Prints ratios of medians of interleaved pairs, with the bar each is held to. No absolute time is worth quoting from a
shared machine.
"""

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from rich.console import Console
from rich.table import Table
from temporalio.client import Client

from bench.measure import (
    Case,
    NeverEnded,
    Pair,
    environment,
    interleaved,
    nap,
    replay_ratio,
    run_by_hand,
    run_process,
    worker,
)
from bench.shapes import least_seconds
from bench.waiting import CACHED, memory_ratio

SLOTS = 20
STEPS = (("chain", 20), ("chain", 100), ("fan-out", 100), ("fan-out", 400))
GRAPHS = (("random", 50), ("layered", 50), ("layered", 100), ("random", 400), ("layered", 400), ("layered", 1_000))
FULL_GRAPHS = (("random", 2_000), ("layered", 2_000), ("random", 10_000), ("layered", 10_000))
FLAT = (100, 1_000, 10_000)
REPLAYED = 1_000


@dataclass(frozen=True)
class Row:
    what: str
    ratio: str
    bar: str = ""
    actions: str = ""
    history: str = ""


async def rows(client: Client, *, pairs: int, full: bool, waiting: int, only: str) -> AsyncIterator[Row]:
    ran: dict[int, list[Pair]] = {}
    async for row in _graphs(client, [case for case in _cases(*STEPS, *GRAPHS) if only in str(case)], pairs, ran):
        yield row
    if REPLAYED in ran:
        ratio = await replay_ratio(ran[REPLAYED][0], times=3)
        yield Row(f"layered of {REPLAYED:,}: replay, CPU", f"{ratio:.2f}", "1.50")
    for shape in ("fan-out", "random"):
        case = Case(shape, 60, tool=nap)
        if only in str(case):
            yield await _bounded(client, case)
    if only in "waiting":
        with tempfile.TemporaryDirectory() as folder:
            ratio = await memory_ratio(client, waiting, Path(folder))
        yield Row(f"memory: {waiting:,} waiting runs by {CACHED}, cache of {CACHED}", f"{ratio:.2f}", "flat")
    # Last: a run that the deadlock detector stopped leaves threads at work in this process.
    large = [case for case in _cases(*FULL_GRAPHS) if full and only in str(case)]
    async for row in _graphs(client, large, pairs, ran):
        yield row
    for row in _flat(ran):
        yield row


def _cases(*graphs: tuple[str, int]) -> list[Case]:
    return [Case(shape, size) for shape, size in graphs]


async def _graphs(client: Client, cases: Sequence[Case], pairs: int, ran: dict[int, list[Pair]]) -> AsyncIterator[Row]:
    """One row each. `ran`: what the layered ones took, by size, for the rows that compare sizes."""
    for case in cases:
        try:
            few = 1 if case.size > 2_000 else 2 if case.size > 400 else pairs
            made = await interleaved(client, case, min(few, pairs))
        except NeverEnded as error:
            yield Row(f"{case}: time", f"did not end: {error}"[:90], "1.10")
            continue
        yield _makespan(case, made)
        if case.shape == "layered":
            ran[case.size] = made


def _makespan(case: Case, pairs: Sequence[Pair]) -> Row:
    ours, by_hand = pairs[-1].ours, pairs[-1].by_hand
    return Row(
        f"{case}: time",
        f"{statistics.median(pair.ours.seconds / pair.by_hand.seconds for pair in pairs):.2f}",
        "1.10",
        f"{ours.actions / case.size:.2f} / {by_hand.actions / case.size:.2f}",
        f"{ours.bytes / case.size / 1000:.2f} / {by_hand.bytes / case.size / 1000:.2f} kB",
    )


def _flat(ran: Mapping[int, Sequence[Pair]]) -> Iterator[Row]:
    """Time of a step in larger graphs of one width, by that in the smallest."""
    if FLAT[0] not in ran:
        return
    ours, by_hand = _a_step(ran, FLAT[0])
    for size in FLAT[1:]:
        if size in ran:
            our_time, their_time = _a_step(ran, size)
            ratios = f"{our_time / ours:.2f} / {their_time / by_hand:.2f} by hand"
            yield Row(f"layered of {size:,}: time a step, by that of {FLAT[0]}", ratios, "flat")


def _a_step(ran: Mapping[int, Sequence[Pair]], size: int) -> tuple[float, float]:
    ours = statistics.median(pair.ours.seconds for pair in ran[size])
    by_hand = statistics.median(pair.by_hand.seconds for pair in ran[size])
    return ours / size, by_hand / size


async def _bounded(client: Client, case: Case) -> Row:
    """Steps of seconds against what no scheduler can beat; both at once, since they mostly sleep."""
    queues = ("bench-slots-ours", "bench-slots-by-hand")
    async with worker(client, queues[0], SLOTS), worker(client, queues[1], SLOTS):
        ours, by_hand = await asyncio.gather(
            run_process(client, replace(case, queue=queues[0])), run_by_hand(client, replace(case, queue=queues[1]))
        )
    least = least_seconds(case.shape, case.size, SLOTS)
    bound = "work / slots" if case.shape == "fan-out" else "critical path"
    what = f"{case} steps of seconds on {SLOTS} slots: time, by {bound}"
    return Row(what, f"{ours.seconds / least:.2f} / {by_hand.seconds / least:.2f} by hand", "1.05")


async def main(*, pairs: int, full: bool, waiting: int, only: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table("", "ours / by hand", "bar", "actions a step", "history a step")
    table.title = "The engine against a hand-written Temporal workflow"
    errors = Console(stderr=True)
    async with environment() as client, worker(client):
        await interleaved(client, Case("chain", 5), 2)
        async for row in rows(client, pairs=pairs, full=full, waiting=waiting, only=only):
            errors.print(f"{row.what}: {row.ratio}", style="dim", highlight=False)
            table.add_row(row.what, row.ratio, row.bar, row.actions, row.history)
    Console(width=150).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs for each row; fewer for large graphs")
    parser.add_argument("--full", action="store_true", help="graphs of 2,000 and 10,000 steps too")
    parser.add_argument("--waiting", type=int, default=500, help="runs that wait for an approval at once")
    parser.add_argument("--only", default="", help="rows whose graph has this in its name, such as `chain`")
    given = parser.parse_args()
    asyncio.run(main(pairs=given.pairs, full=given.full, waiting=given.waiting, only=given.only))
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    sys.stdout.flush()
    os._exit(0)
