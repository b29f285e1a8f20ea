"""The kill matrix: at every step of every sample process the worker dies, before the effect, between the effect and its
completion, and after the completion. Each run completes all the same, every effect exactly once."""

import asyncio
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from contracts.activities import CALL_MODEL, LOAD_PROCESS, PUBLISH_EVENT, RESOLVE_PEOPLE, SUBSCRIBE_STEP
from contracts.faults import Faults, Point
from tests.chaos.play import Played, Stage, play, report
from tests.chaos.schedule import INPUTS, STARTED_BY, Schedule, Start

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

POINTS: tuple[Point, ...] = ("before", "between", "after")
AT_ONCE = 6
"""A run bears so many lost workers, and not three at each of its steps: a step has five attempts, and steps that go on
at the same time lose one each. So the places are dealt out to worlds."""
SIDE_BY_SIDE = 2 * (os.cpu_count() or 2)
ATTEMPTS = 3
"""Between a step's completion and the worker's death for it, the worker may die for another step, and the step is not
made again: where the worker did not die, it is to die in another world."""

OF_STEPS = {stub.name for stub in (CALL_MODEL, LOAD_PROCESS, PUBLISH_EVENT, RESOLVE_PEOPLE, SUBSCRIBE_STEP)}
"""What steps do besides calling tools. Notices and the record go beside a run, in batches that fall as time has it."""
LATER_ROUND = re.compile(r"#(?!1\b)\d")
"""How many rounds departments need to agree is a matter of who is faster."""
IN_CI = "invoice-approval"
"""Has approvals, an agent, writes and undo; the others take minutes."""
BESIDE = "operators-"
"""Looking up who may repair, whenever somebody does."""


def schedule(process: str, at: Iterable[str] = ()) -> Schedule:
    start = Start(process, f"{process}-m", INPUTS[process][0], "approve")
    faults = Faults(namespace="default", at=tuple(at))
    return Schedule(seed=0, starts=(start,), faults=faults, shocks=(), hurried=False, hasty=False)


def places(undisturbed: Played) -> list[str]:
    """Where a worker can die: each activity of the runs; of an agent's the first turn and the first call of a tool, as
    the others are made in the same way."""
    found: dict[str, str] = {}
    for activity in undisturbed.completed:
        if activity.key is None and (activity.type not in OF_STEPS or activity.id.startswith(BESIDE)):
            continue
        place = f"{activity.workflow}/{activity.id}"
        if LATER_ROUND.search(place):
            continue
        is_agents = activity.workflow not in undisturbed.views
        found.setdefault(f"{activity.workflow} {activity.key is None}" if is_agents else place, place)
    return list(found.values())


def dealt(deaths: set[tuple[str, Point]], places: list[str]) -> list[list[str]]:
    """Places with their points, as few worlds as can bear them. Neighbours, and the points of a place, lie apart."""
    worlds: list[list[str]] = [[] for _ in range(max(len(POINTS), math.ceil(len(deaths) / AT_ONCE)))]
    for number, place in enumerate(places):
        for shift, point in enumerate(POINTS):
            if (place, point) in deaths:
                worlds[(number + shift) % len(worlds)].append(f"{place}:{point}")
    return [world for world in worlds if world]


def test_every_sample_process_is_played(stage: Stage) -> None:
    assert set(stage.catalog.names) == {*INPUTS}.union(*STARTED_BY.values())


@pytest.mark.parametrize(
    "process", [pytest.param(name, marks=() if name == IN_CI else pytest.mark.long) for name in INPUTS]
)
async def test_a_worker_that_dies_at_any_step_costs_nothing(stage: Stage, tmp_path: Path, process: str) -> None:
    undisturbed = await play(stage, schedule(process), tmp_path / "undisturbed")
    assert undisturbed.broken == []
    assert {view.status for view in undisturbed.views.values()} == {"completed"}
    found = places(undisturbed)
    left: set[tuple[str, Point]] = {(place, point) for place in found for point in POINTS}
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(home: Path, at: list[str]) -> Played:
        async with turn:
            return await play(stage, schedule(process, at), home, awaited=undisturbed.views)

    for attempt in range(ATTEMPTS):
        worlds = dealt(left, found)
        results = await asyncio.gather(*(one(tmp_path / f"{attempt}-{number}", at) for number, at in enumerate(worlds)))
        assert [report(played) for played in results if played.broken] == []
        assert {view.status for played in results for view in played.views.values()} == {"completed"}
        left -= {(place, point) for played in results for point, place in played.faults if point in POINTS}
        if not left:
            return
    raise AssertionError(f"the worker never died at {sorted(left)}")
