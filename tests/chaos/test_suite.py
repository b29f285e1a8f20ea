"""A test of the tests: what failed once is played ever after, as it was then."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.catalog import Catalog
from runtime.settings import PROJECT
from tests.chaos.nursery import Nursery
from tests.chaos.play import Played, Stage
from tests.chaos.schedule import INPUTS, Schedule
from tests.chaos.suite import KEPT, Kept, keep, kept, play_all, wanted, wanted_seeds

SEEDS = range(1, 101)


def failed(seed: int) -> Played:
    return Played(Schedule.of(seed), broken=["2 effects under x-0/pay", "x-0 does not replay"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    empty = tmp_path / "kept.jsonl"
    empty.touch()
    return empty


def test_a_play_that_failed_is_played_ever_after(file: Path) -> None:
    assert keep(failed(7), file, {}) == "it was added to kept.jsonl, and is played ever after"
    assert kept(file) == [Kept(found="2 effects under x-0/pay", schedule=Schedule.of(7))]
    assert wanted([3], file) == {"kept play 1 (seed 7)": Schedule.of(7), "seed 3": Schedule.of(3)}


def test_what_is_kept_and_still_what_its_seed_means_is_played_once(file: Path) -> None:
    keep(failed(7), file, {})
    assert wanted([6, 7], file) == {"kept play 1 (seed 7)": Schedule.of(7), "seed 6": Schedule.of(6)}


def test_it_is_kept_once(file: Path) -> None:
    keep(failed(7), file, {})
    assert keep(failed(7), file, {}) == "it is in kept.jsonl already"
    assert keep(failed(7), file, {"CI": "true"}) == "it is in kept.jsonl already"
    assert len(kept(file)) == 1


def test_ci_says_the_line_that_is_to_be_added(file: Path) -> None:
    said, line = keep(failed(7), file, {"CI": "true"}).splitlines()
    assert said == "add this line to kept.jsonl, so that it is played ever after:"
    assert file.read_text() == ""
    file.write_text(f"{line}\n")
    assert kept(file) == [Kept(found="2 effects under x-0/pay", schedule=Schedule.of(7))]


def test_what_is_kept_stays_what_it_was_when_its_seed_means_another_play(file: Path) -> None:
    then = Schedule.of(8).model_copy(update={"seed": 7})
    keep(Played(then, broken=["x-0 was lost"]), file, {})
    assert wanted([7], file) == {"kept play 1 (seed 7)": then, "seed 7": Schedule.of(7)}


async def test_a_play_that_breaks_off_is_told_and_kept_and_the_others_are_played(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # where nothing is kept, but said
    unborn: Nursery = Nursery.__new__(Nursery)  # no worker is asked for
    stage = Stage(unborn, "http://[no-address", Catalog.load([]))
    one, two = (Schedule.of(seed).model_copy(update={"bad_line": True}) for seed in (7, 8))
    results = await play_all(stage, {"one": one, "two": two}, tmp_path, file=file)
    found = "the play broke off: ValueError('Invalid IPv6 URL')"
    assert [played.broken for played in results] == [[found], [found]]
    assert kept(file) == [Kept(found=found, schedule=one), Kept(found=found, schedule=two)]
    said = capsys.readouterr()
    assert said.out.count("BROKEN: the play broke off") == said.err.count("Traceback") == 2


def test_every_play_can_be_kept(file: Path) -> None:
    for seed in SEEDS:
        keep(failed(seed), file, {})
    assert [each.schedule for each in kept(file)] == [Schedule.of(seed) for seed in SEEDS]


def test_what_this_project_keeps_can_be_played() -> None:
    assert {start.process for each in kept() for start in each.schedule.starts} <= INPUTS.keys()
    assert all(each.found for each in kept())
    assert KEPT.read_text().endswith("\n")


@pytest.mark.parametrize(("asked", "seeds"), [("7", [7]), ("1-3", [1, 2, 3]), ("3,9,20-22", [3, 9, 20, 21, 22])])
def test_seeds_are_asked_for_by_number_and_range(asked: str, seeds: list[int]) -> None:
    assert wanted_seeds({"CHAOS_SEEDS": asked}) == seeds


@pytest.mark.parametrize("part", ["abc", "0-", "-3", "5-3", "", "1-2-3", "7 8"])
def test_what_is_no_seed_is_told(part: str) -> None:
    with pytest.raises(pytest.UsageError) as told:
        wanted_seeds({"CHAOS_SEEDS": f"1,{part}"})
    assert str(told.value) == f"the seeds to play: {part!r} is none; write 7, 1-50 or 3,9,20-30"


def test_make_hands_on_the_seeds_as_they_are_written() -> None:
    command = ["make", "-s", "-n", "chaos", "SEED=1 2"]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert "CHAOS_SEEDS=1 2" in shlex.split(said)


@pytest.mark.chaos
def test_it_is_told_in_one_line_before_anything_begins() -> None:
    command = [sys.executable, "-m", "pytest", "tests/chaos/test_seeds.py"]
    said = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "CHAOS_SEEDS": "abc"}, capture_output=True, text=True, check=False
    )
    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    assert said.stdout == ""
    assert said.stderr.strip() == "ERROR: the seeds to play: 'abc' is none; write 7, 1-50 or 3,9,20-30"
