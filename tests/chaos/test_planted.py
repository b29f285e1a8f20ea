"""A test of the tests: each bug, planted in a worker, breaks the promise that it is about, and the suite says so."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.faults import Faults
from tests.chaos.people import Verdict
from tests.chaos.planted import BUGS
from tests.chaos.play import Played, Stage, play, report
from tests.chaos.schedule import INPUTS, Schedule, Start

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Trap:
    """The process that shows a bug, what people say, where its worker dies, and what is found then."""

    process: str
    verdict: Verdict
    found: str
    places: tuple[str, ...] = ()


TRAPS = {
    "key_made_of_the_attempt": Trap("invoice-approval", "approve", "which nobody asked for", ("pay:between",)),
    "undo_in_the_order_of_completion": Trap("employee-onboarding", "cancel", "which needed it"),
    "decision_acknowledged_before_it_is_counted": Trap("invoice-approval", "approve", "counted 0 times"),
    "completed_step_again_after_continuing_as_new": Trap("employee-onboarding", "approve", "completed 2 times"),
}


def schedule(trap: Trap) -> Schedule:
    start = Start(trap.process, f"{trap.process}-0", INPUTS[trap.process][0], trap.verdict)
    faults = Faults(namespace="default", at=tuple(f"{start.run}/{place}" for place in trap.places))
    return Schedule(seed=0, starts=(start,), faults=faults, shocks=(), hurried=False, hasty=True)


async def played(stage: Stage, home: Path, trap: Trap, bug: str | None) -> Played:
    return await play(stage, schedule(trap), home, bug)


def test_every_bug_has_its_trap() -> None:
    assert TRAPS.keys() == BUGS.keys()


async def test_every_planted_bug_is_found(stage: Stage, tmp_path: Path) -> None:
    found = await asyncio.gather(*(played(stage, tmp_path / bug, trap, bug) for bug, trap in TRAPS.items()))
    for trap, with_bug in zip(TRAPS.values(), found, strict=True):
        assert any(trap.found in each for each in with_bug.broken), report(with_bug)


async def test_without_a_bug_nothing_is_found(stage: Stage, tmp_path: Path) -> None:
    sound = await asyncio.gather(*(played(stage, tmp_path / bug, trap, None) for bug, trap in TRAPS.items()))
    assert [report(each) for each in sound if each.broken] == []
