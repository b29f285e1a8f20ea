"""Recorded histories are append-only: each is listed with its hash, and neither it nor its line goes away again."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.histories import kept
from tests.histories.record import main
from tests.histories.runs import FOLDER

FILES = {"a.json": "{}\n", "b~2.json": '{"events": []}\n'}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        kept.keep(tmp_path / name, text)
    return tmp_path


@pytest.mark.parametrize("folder", kept.folders(FOLDER), ids=lambda folder: folder.name)
def test_every_history_is_there_as_it_was_recorded(folder: Path) -> None:
    assert kept.problems(folder) == [], kept.WAY_OUT


def test_the_list_is_one_that_sha256sum_checks(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", kept.LIST]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.json: OK\nb~2.json: OK\n", "")


def listed_anew(file: Path) -> None:
    """Changed, with a line that says so below the one it had."""
    file.write_text("{} ")
    other = file.parent / "other"
    other.mkdir()
    kept.keep(other / file.name, file.read_text())
    with (file.parent / kept.LIST).open("a") as names:
        names.write((other / kept.LIST).read_text())


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda file: file.write_text("{}"), ["a.json was changed"]),
        (lambda file: file.unlink(), ["a.json is gone"]),
        (lambda file: file.rename(file.with_name("c.json")), ["a.json is gone", "c.json is not in SHA256SUMS"]),
        (listed_anew, ["a.json was changed"]),
        (
            lambda file: (file.parent / kept.LIST).unlink(),
            ["a.json is not in SHA256SUMS", "b~2.json is not in SHA256SUMS"],
        ),
    ],
    ids=["changed", "removed", "renamed", "listed anew", "without a list"],
)
def test_what_happens_to_one_is_named(folder: Path, what: Callable[[Path], object], said: list[str]) -> None:
    assert kept.problems(folder) == []
    what(folder / "a.json")
    assert kept.folders(folder)[0] == folder
    assert kept.problems(folder) == said


@pytest.mark.parametrize("gone", [False, True])
def test_a_name_is_recorded_once(folder: Path, gone: bool) -> None:
    file = folder / "a.json"
    if gone:
        file.unlink()
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    with pytest.raises(FileExistsError):
        kept.keep(file, "[]")
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_history_that_nobody_listed_is_not_written_over(folder: Path) -> None:
    (folder / "c.json").write_text("mine")
    with pytest.raises(FileExistsError):
        kept.keep(folder / "c.json", "[]")
    assert (folder / "c.json").read_text() == "mine"
    assert kept.problems(folder) == ["c.json is not in SHA256SUMS"]


async def test_nothing_is_recorded_beside_what_was_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.json").unlink()
    monkeypatch.setattr("tests.histories.record.FOLDER", folder)
    said = r"^a\.json is gone\. .*git restore.*workflow\.patched.*new file.*tests\.histories\.record"
    with pytest.raises(SystemExit, match=said):
        await main()
