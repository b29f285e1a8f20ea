"""A test of the tests: those of a full disk are left out where none can be mounted, but never where CI needs them."""

import os
from pathlib import Path

import pytest

from tests.baddays.disk import small_disk


@pytest.mark.parametrize(
    ("ci", "user", "outcome"),
    [
        ("true", 0, pytest.fail.Exception),
        ("", 0, pytest.skip.Exception),
        ("true", 1000, pytest.skip.Exception),
    ],
)
def test_a_disk_that_cannot_be_mounted_is_a_failure_of_ci_and_elsewhere_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, user: int, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(outcome, match="no file system can be mounted here"), small_disk(tmp_path / "disk", "no size"):
        raise AssertionError("it was mounted")
