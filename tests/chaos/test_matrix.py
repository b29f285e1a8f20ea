"""The kill matrix: at every step of every sample process the worker dies, before the effect, between the effect and its
completion, and after the completion. Each run completes all the same, every effect exactly once."""

import asyncio
import re
from collections import defaultdict
from pathlib import Path

import pytest

from contracts.activities import CALL_MODEL, LOAD_PROCESS, PUBLISH_EVENT, RESOLVE_PEOPLE, SUBSCRIBE_STEP
from contracts.faults import Faults, Point
from tests.chaos.play import Played, Stage, play, report
from tests.chaos.schedule import INPUTS, Schedule, Start

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(3600)]

GROUPS = 10
"""A run bears so many lost workers, and not one at each of its steps: a step has five attempts, and steps that go on at
the same time lose one each. So the steps are dealt out to so many worlds."""
SIDE_BY_SIDE = 6
ATTEMPTS = 3
"""Between a step's completion and the worker's death for it, the worker may die for another step, and the step is not
made again: where the worker did not die, it is to die in another world."""

OF_STEPS = {stub.name for stub in (CALL_MODEL, LOAD_PROCESS, PUBLISH_EVENT, RESOLVE_PEOPLE, SUBSCRIBE_STEP)}
"""What steps do besides calling tools. Notices and the record go beside a run, in batches that fall as time has it."""
LATER_ROUND = re.compile(r"#(?!1\b)\d")
"""How many rounds departments need to agree is a matter of who is faster."""
BESIDE = "operators-"
"""Looking up who may repair, whenever somebody does."""

STARTS = tuple(Start(process, f"{process}-m", inputs[0], "approve") for process, inputs in INPUTS.items())


def schedule(at: tuple[str, ...] = ()) -> Schedule:
    faults = Faults(namespace="default", at=at)
    return Schedule(seed=0, starts=STARTS, faults=faults, shocks=(), hurried=False, hasty=False)


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


@pytest.mark.parametrize("point", ["before", "between", "after"])
async def test_a_worker_that_dies_at_any_step_costs_nothing(stage: Stage, tmp_path: Path, point: Point) -> None:
    undisturbed = await play(stage, schedule(), tmp_path / "undisturbed")
    assert undisturbed.broken == []
    assert {view.status for view in undisturbed.views.values()} == {"completed"}
    left = places(undisturbed)
    for attempt in range(ATTEMPTS):
        results = await _play(stage, tmp_path / f"{attempt}", point, left, undisturbed)
        assert [report(played) for played in results if played.broken] == []
        assert {view.status for played in results for view in played.views.values()} == {"completed"}
        made = {place for played in results for fault, place in played.faults if fault == point}
        left = [place for place in left if place not in made]
        if not left:
            return
    raise AssertionError(f"the worker never died at {left}")


async def _play(stage: Stage, home: Path, point: Point, left: list[str], undisturbed: Played) -> list[Played]:
    dealt: dict[int, list[str]] = defaultdict(list)
    for number, place in enumerate(left):
        dealt[number % GROUPS].append(f"{place}:{point}")
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(number: int, at: list[str]) -> Played:
        async with turn:
            return await play(
                stage, schedule(tuple(at)), home.with_name(f"{home.name}-{number}"), awaited=undisturbed.views
            )

    return await asyncio.gather(*(one(number, at) for number, at in dealt.items()))
