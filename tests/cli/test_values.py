"""Values on the command line."""

import io
import re
from pathlib import Path

import pytest

from cli.values import read_value
from contracts.errors import CallerError, InputInvalid


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("{a: 1}", {"a": 1}),
        ("country: no", {"country": "no"}),
        ('"text"', "text"),
        ("5", 5),
        ("[1, 2]", [1, 2]),
    ],
)
def test_inline_json_and_yaml_are_read(given: str, value: object) -> None:
    assert read_value(given, "--input") == value


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "an input.yaml").write_text("a: [1]\n")
    assert read_value(str(tmp_path / "an input.yaml"), "--input") == {"a": [1]}


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a: 1"))
    assert read_value("-", "--input") == {"a": 1}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nope.yaml", "--input nope.yaml: there is no such file"),
        ('{"a": ', "--input:2:1"),
        ("{a: 1, a: 2}", "--input:1:8"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(given: str, says: str) -> None:
    with pytest.raises(CallerError, match=re.escape(says)):
        read_value(given, "--input")


def test_a_broken_file_is_refused_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "input.yaml"
    file.write_text("a: 1\nb: [\n")
    with pytest.raises(InputInvalid, match=r"input\.yaml:3:1"):
        read_value(str(file), "--input")
