"""`starter.py people`: the directory is checked and shown."""

from pathlib import Path

import pytest

from cli.app import call
from starter import PARTS

DIRECTORY = """
users:
  alice: {name: Alice Moreau, email: alice@example.com, deputies: [bob], away: {from: 2020-01-01}}
  bob: {}
  carol: {away: {until: 2100-01-01}}
groups: {finance: [alice, bob]}
roles: {operator: [group:finance, starter]}
"""


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = call(["people", *arguments], PARTS)
    said = capsys.readouterr()
    return status, said.out + said.err


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "people.yaml"
    path.write_text(DIRECTORY)
    monkeypatch.setenv("SUREFOOT_PEOPLE", str(path))
    return path


def test_it_says_who_is_away_and_who_acts_for_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = shown(capsys)
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[:4] == [
        "user:alice Alice Moreau, alice@example.com",
        "away from 2020-01-01",
        "user:bob may decide in their place, while user:alice is away",
        "user:bob",
    ]
    assert lines[4:8] == [
        "user:carol",
        "away until 2100-01-01",
        "nobody acts for them",
        "group:finance user:alice, user:bob",
    ]
    assert lines[8] == "role:operator user:alice, user:bob, starter"


def test_a_directory_that_does_not_hold_is_told_with_every_mistake(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("users: {alice: {deputies: [zoe]}}\ngroups: {it: [tom]}")
    status, said = shown(capsys, "--json")
    assert status == 2
    assert "no user `zoe`" in said
    assert "no user `tom`" in said
