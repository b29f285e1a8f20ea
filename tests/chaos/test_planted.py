"""A test of the tests: with a bug planted in its workers, a play of the suite fails on the promise that the bug breaks;
without it, the same play holds."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.chaos.planted import BUGS
from tests.chaos.play import Played, Stage, report
from tests.chaos.schedule import Schedule
from tests.chaos.suite import kept, play_all

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CELL = Schedule.calm("supplier-onboarding", "regret")
"""Of the matrix: it has a plan, approvals, and three effects that are taken back."""
ANSWERED = Schedule.calm("invoice-approval", "approve", at=["*/turn-1:between"])
"""Of the matrix: the worker dies when a model has answered."""
WRITTEN = Schedule.calm("budget-planning", "approve", at=["*/round#1.*/3.1-state.put:lost"])
"""Whichever department writes first loses the answer; the others are refused."""
SEED = Schedule.of(9)
"""Its runs continue as new. When seeds come to mean other plays, any hasty one may do."""
BETWEEN_VOTES = Schedule.calm("invoice-approval", "approve").model_copy(update={"hasty": True, "soon": 52})
"""Of the matrix: two have to agree, the first of them after 46 events or a few less, the second after 63 or more."""
FOUND: dict[str, tuple[Schedule, str]] = {
    "key_made_of_the_attempt": (CELL, "which nobody asked for"),
    "write_of_the_state_known_by_the_attempt": (WRITTEN, "was written, and no call was answered so"),
    "undo_in_the_order_of_completion": (CELL, "which needed it"),
    "decision_acknowledged_before_it_is_counted": (CELL, "counted 0 times"),
    "completed_step_again_after_continuing_as_new": (SEED, r"completed \d times"),
    "votes_forgotten_on_continuing_as_new": (BETWEEN_VOTES, "counted [02] times"),
    "answer_asked_for_again": (ANSWERED, "asked again by another worker"),
}
"""The play that finds each bug, and what it says then, as a pattern."""


def test_every_bug_has_a_play_that_finds_it() -> None:
    assert FOUND.keys() == BUGS.keys()
    assert SEED.hasty


async def test_every_planted_bug_is_found_and_kept(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # where nothing is kept, but said

    async def found(bug: str, schedule: Schedule) -> list[Played]:
        home = tmp_path / bug
        home.mkdir()
        (home / "kept.jsonl").touch()
        return await play_all(stage, {bug: schedule}, home, bug, home / "kept.jsonl")

    results = await asyncio.gather(*(found(bug, schedule) for bug, (schedule, _) in FOUND.items()))
    for (bug, (schedule, wrong)), (played,) in zip(FOUND.items(), results, strict=True):
        assert any(re.search(wrong, each) for each in played.broken), report(played)
        assert [each.schedule for each in kept(tmp_path / bug / "kept.jsonl")] == [schedule]


async def test_without_a_bug_nothing_is_found(stage: Stage, tmp_path: Path) -> None:
    sound_ones = {
        "cell": CELL,
        "written": WRITTEN,
        "seed": SEED,
        "between votes": BETWEEN_VOTES,
        "answered": ANSWERED,
    }
    sound = await play_all(stage, sound_ones, tmp_path)
    assert [report(played) for played in sound if played.broken] == []
