"""Mixed faults by seed: nothing is lost and nothing done twice. `make chaos SEED=7` plays one seed."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.chaos.play import Played, Stage, play, report, wanted_seeds
from tests.chaos.schedule import Schedule

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(6 * 3600)]

FAILED_ONCE = Path(__file__).with_name("seeds.txt")
SIDE_BY_SIDE = 3 * (os.cpu_count() or 2)
"""Worlds at a time: each waits mostly for what was killed to be noticed. Many more of them starve each other, and then
what is slow looks like what is lost."""
LEAST_STRUCK = 0.95


def keep(played: Played) -> None:
    """At once, for a night that is cut short."""
    with FAILED_ONCE.open("a") as file:
        file.write(f"{played.schedule.seed} {played.broken[0]}\n")


async def test_every_promise_holds_under_every_seed(stage: Stage, tmp_path: Path) -> None:
    kept = {int(line.split()[0]) for line in FAILED_ONCE.read_text().splitlines() if line and line[0] != "#"}
    seeds = sorted({*wanted_seeds(), *kept})
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(seed: int) -> Played:
        home = tmp_path / f"{seed}"
        async with turn:
            played = await play(stage, Schedule.of(seed), home)
        if not played.broken:  # seven megabytes each
            shutil.rmtree(home, ignore_errors=True)
        elif seed not in kept:
            keep(played)
        said = "BROKEN" if played.broken else f"holds, {len(played.struck)} of {len(played.runs)} runs saw a fault"
        sys.stdout.write(f"seed {seed}: {said}, {played.seconds:.0f} s\n")
        return played

    results = await asyncio.gather(*(one(seed) for seed in seeds))
    failed = [played for played in results if played.broken]
    assert not failed, "\n\n".join(map(report, failed))
    runs = sum(len(played.runs) for played in results)
    struck = sum(len(played.struck) for played in results)
    assert struck >= LEAST_STRUCK * runs, f"only {struck} of {runs} runs saw a fault"
