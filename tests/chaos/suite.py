"""The suite: plays of seeds, and those that failed once, which are kept whole in `kept.jsonl`.

A seed means another play when what it is made of changes; what is kept stays the play that failed.
"""

import asyncio
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from contracts.base import Contract
from tests.chaos.play import Played, Stage, play, report
from tests.chaos.schedule import Schedule

KEPT = Path(__file__).with_name("kept.jsonl")
"""A play a line, with what was wrong when it failed first. CI has no clone that stays: it says which line to add."""
SIDE_BY_SIDE = 5 * (os.cpu_count() or 2)
"""Worlds at a time: each waits mostly for what was killed to be noticed, and takes a sixth of a processor. Many more
starve each other, and then what is slow looks like what is lost."""


class Kept(Contract):
    found: str
    schedule: Schedule


def kept(file: Path = KEPT) -> list[Kept]:
    return [Kept.model_validate_json(line) for line in file.read_text().splitlines()]


def keep(played: Played, file: Path = KEPT, environment: Mapping[str, str] = os.environ) -> str:
    """Have a play that failed played ever after.

    Returns:
        What was done, or is to be done, in words.
    """
    if any(each.schedule == played.schedule for each in kept(file)):
        return f"it is in {file.name} already"
    line = Kept(found=played.broken[0], schedule=played.schedule).model_dump_json(exclude_defaults=True)
    if environment.get("CI"):
        return f"add this line to {file.name}, so that it is played ever after:\n{line}"
    with file.open("a") as lines:
        lines.write(f"{line}\n")
    return f"it was added to {file.name}, and is played ever after"


def wanted_seeds(environment: Mapping[str, str] = os.environ) -> list[int]:
    """`CHAOS_SEEDS`: `7`, `1-50` or `3,9,20-30`.

    Raises:
        UsageError: it is none of these.
    """
    seeds: list[int] = []
    for part in environment.get("CHAOS_SEEDS", "1-50").split(","):
        asked = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        found = range(int(asked[1]), int(asked[2] or asked[1]) + 1) if asked else range(0)
        if not found:
            raise pytest.UsageError(f"the seeds to play: {part!r} is none; write 7, 1-50 or 3,9,20-30")
        seeds += found
    return seeds


def wanted(seeds: Iterable[int], file: Path = KEPT) -> dict[str, Schedule]:
    """The plays by name: all that are kept, and of the seeds those that mean another play. None is played twice."""
    lines = enumerate(kept(file), 1)
    once = {f"kept play {number} (seed {each.schedule.seed})": each.schedule for number, each in lines}
    of_seeds = {f"seed {seed}": Schedule.of(seed) for seed in seeds}
    return once | {name: schedule for name, schedule in of_seeds.items() if schedule not in once.values()}


async def play_all(
    stage: Stage, schedules: Mapping[str, Schedule], home: Path, planted: str | None = None, file: Path = KEPT
) -> list[Played]:
    """Each in a world of its own. One that fails, or breaks off, is kept at once, for a night that is cut short."""
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(number: int, name: str, schedule: Schedule) -> Played:
        async with turn:
            try:
                played = await play(stage, schedule, home / f"{number}", planted)
            except Exception as error:  # noqa: BLE001 - the others are played all the same
                traceback.print_exc()
                played = Played(schedule, broken=[f"the play broke off: {error!r}"])
        if played.broken:
            said = f"BROKEN\n{report(played)}\n{keep(played, file)}"
        else:
            shutil.rmtree(home / f"{number}", ignore_errors=True)  # seven megabytes each
            said = f"holds, {len(played.struck)} of {len(played.runs)} runs saw a fault"
        sys.stdout.write(f"{name}: {said}, {played.seconds:.0f} s\n")
        return played

    every = enumerate(schedules.items())
    return await asyncio.gather(*(one(number, name, schedule) for number, (name, schedule) in every))
