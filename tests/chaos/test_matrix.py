"""The kill matrix: at every step of every sample process the worker dies, before the effect, between the effect and its
completion, and after the completion. Each run completes all the same, every effect exactly once.

And at everything that is taken back, when all that a run did is regretted: each run ends, every effect is taken back
once, and none before what came of it.
"""

import asyncio
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from activities.faults.dice import is_meant
from contracts.activities import CALL_MODEL, LOAD_PROCESS, PUBLISH_EVENT, RESOLVE_PEOPLE, SUBSCRIBE_STEP
from contracts.faults import Point
from contracts.state import BUILT_IN
from contracts.tools import ToolSpec
from tests.chaos.evidence import Completed
from tests.chaos.play import Played, Stage, play, report
from tests.chaos.schedule import INPUTS, PLACES, REGRETTED, STARTED_BY, SURE, UNDONE, Schedule

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

POINTS: tuple[Point, ...] = ("before", "between", "after")
AT_ONCE = 6
"""A run bears so many lost workers, and not three at each of its steps: a step has five attempts, and steps that go on
at the same time lose one each. So the places are dealt out to worlds."""
SIDE_BY_SIDE = int(os.environ.get("CHAOS_WORLDS", 2 * (os.cpu_count() or 2)))
"""Worlds at a time; `.ci/run` says fewer, which have room beside what else is killed."""
ATTEMPTS = 3
"""Between a step's completion and the worker's death for it, the worker may die for another step, and the step is not
made again: where the worker did not die, it is to die in another world."""

OF_STEPS = {stub.name for stub in (CALL_MODEL, LOAD_PROCESS, PUBLISH_EVENT, RESOLVE_PEOPLE, SUBSCRIBE_STEP)}
"""What steps do besides calling tools. Notices and the record go beside a run, in batches that fall as time has it."""
LATER_ROUND = re.compile(r"#(?!1\b)\d")
"""How many rounds departments need to agree is a matter of who is faster."""
BESIDE = "operators-"
"""Looking up who may repair, whenever somebody does."""
UNDO = ":undo"
"""What the name of an activity ends with that takes an effect back; a number may follow."""

IN_CI = "invoice-approval"
"""Has approvals, an agent, writes and undo; the others take minutes."""
UNDONE_IN_CI = "supplier-onboarding"
"""Takes three effects back, of a plan and of a step, one after the other."""


def only_one_in_ci(processes: Iterable[str], one: str) -> list[Any]:
    return [pytest.param(name, marks=() if name == one else pytest.mark.long) for name in processes]


def places(undisturbed: Played, specs: Mapping[str, ToolSpec]) -> list[str]:
    """Where a worker can die: each activity of the runs; of an agent's the first turn, the first read and the first
    write, as the others are made in the same way.

    In which turn it writes is a matter of who is faster, where several write the same. So a write is named by its tool.
    """
    found: dict[str, str] = {}
    for activity in undisturbed.completed:
        if activity.key is None and (activity.type not in OF_STEPS or activity.id.startswith(BESIDE)):
            continue
        place = f"{activity.workflow}/{activity.id}"
        if LATER_ROUND.search(place):
            continue
        if activity.workflow in undisturbed.views:
            found[place] = place
            continue
        effect = None if activity.key is None else ({**BUILT_IN, **specs})[activity.type].effect
        named = f"{activity.workflow}/*-{activity.type}" if effect == "write" else place
        found.setdefault(f"{activity.workflow} {effect}", named)
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


def test_of_an_agent_it_dies_in_its_first_turn_read_and_write(stage: Stage) -> None:
    run, agent = "budget-planning-m", "budget-planning-m/round#1.sales"
    made = {
        "turn-1": "surefoot.call_model",
        "1.1-planning.read_needs": "planning.read_needs",
        "1.2-state.get": "state.get",
        "turn-2": "surefoot.call_model",
        "5.1-state.put": "state.put",
        "6.1-state.put": "state.put",
    }
    calls = [Completed("1", agent, name, type_, None if "turn" in name else name, run) for name, type_ in made.items()]
    later = Completed("1", "budget-planning-m/round#2.sales", "turn-1", "surefoot.call_model", None)
    played = Played(Schedule.calm("budget-planning", "approve"), completed=[*calls, later])
    expected = [f"{agent}/{place}" for place in ("turn-1", "1.1-planning.read_needs", "*-state.put")]
    assert places(played, stage.catalog.specs) == expected


async def die_everywhere(stage: Stage, home: Path, undisturbed: Played, found: list[str]) -> None:
    """The run is played until the worker has died at every point of each of these places, and ends each time as it did
    undisturbed."""
    left: set[tuple[str, Point]] = {(place, point) for place in found for point in POINTS}
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(world: Path, at: list[str]) -> Played:
        faults = undisturbed.schedule.faults.model_copy(update={"at": tuple(at)})
        schedule = undisturbed.schedule.model_copy(update={"faults": faults})
        async with turn:
            return await play(stage, schedule, world, awaited=undisturbed.views)

    for attempt in range(ATTEMPTS):
        worlds = dealt(left, found)
        results = await asyncio.gather(*(one(home / f"{attempt}-{number}", at) for number, at in enumerate(worlds)))
        assert [report(played) for played in results if played.broken] == []
        for played in results:
            assert ends(played) == ends(undisturbed)
        died = [f"{place}:{point}" for played in results for point, place in played.faults if point in POINTS]
        left = {death for death in left if not any(is_meant(":".join(death), each) for each in died)}
        if not left:
            return
    raise AssertionError(f"the worker never died at {sorted(left)}")


def ends(played: Played) -> dict[str, str]:
    return {run: view.status for run, view in played.views.items()}


def of_run(played: Played, steps: Iterable[str]) -> set[str]:
    return {f"{played.runs[0]}/{step}" for step in steps}


@pytest.mark.parametrize("process", only_one_in_ci(INPUTS, IN_CI))
async def test_a_worker_that_dies_at_any_step_costs_nothing(stage: Stage, tmp_path: Path, process: str) -> None:
    undisturbed = await play(stage, Schedule.calm(process, "approve"), tmp_path / "undisturbed")
    assert undisturbed.broken == []
    assert set(ends(undisturbed).values()) == {"completed"}
    # What the seeds draw from is where a run comes to.
    reached = {f"{activity.workflow}/{activity.id}" for activity in undisturbed.completed}
    assert of_run(undisturbed, [*PLACES[process], *SURE[process]]) <= reached
    await die_everywhere(stage, tmp_path, undisturbed, places(undisturbed, stage.catalog.specs))


def test_every_sample_process_with_an_undo_is_regretted(stage: Stage) -> None:
    definitions = {name: stage.catalog.definition(name).process for name in stage.catalog.names}
    undoing = {name for name, process in definitions.items() if any(step.undo for step in process.steps.values())}
    assert undoing == REGRETTED.keys()


@pytest.mark.parametrize("process", only_one_in_ci(REGRETTED, UNDONE_IN_CI))
async def test_a_worker_that_dies_at_any_undo_undoes_all_the_same(stage: Stage, tmp_path: Path, process: str) -> None:
    undisturbed = await play(stage, Schedule.calm(process, "regret"), tmp_path / "undisturbed")
    assert undisturbed.broken == []
    assert ends(undisturbed)[undisturbed.runs[0]] == "cancelled"
    undone = [place for place in places(undisturbed, stage.catalog.specs) if UNDO in place]
    of_steps = {place.rpartition("/")[2].partition(UNDO)[0].partition("[")[0] for place in undone}
    steps = stage.catalog.definition(process).process.steps
    assert {name for name, step in steps.items() if step.undo} <= of_steps
    assert of_run(undisturbed, (f"{step}{UNDO}" for step in UNDONE["regret"].get(process, ()))) <= {*undone}
    await die_everywhere(stage, tmp_path, undisturbed, undone)
