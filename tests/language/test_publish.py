"""The published JSON Schema of the format is the model's own, and says of files what the compiler says."""

import json
from pathlib import Path

import pytest

from contracts.base import Json
from language.publish import EVALS, FILE, evals_schema, process_schema
from language.schema import schema_error, violations
from language.source import load_yaml

WHOLE_FILE = Path(__file__).with_name("whole_file.yaml")
SAMPLES = sorted((Path(__file__).parents[2] / "processes").glob("*/process.yaml"))


def test_the_committed_schema_is_current() -> None:
    assert FILE.read_text() == process_schema(), "run `python -m language.publish`"
    assert EVALS.read_text() == evals_schema(), "run `python -m language.publish`"


def test_it_is_a_json_schema() -> None:
    assert schema_error(json.loads(process_schema())) is None


@pytest.mark.parametrize("file", [WHOLE_FILE, *SAMPLES], ids=lambda file: file.parent.name)
def test_it_accepts_the_format_pages_example_and_the_samples(file: Path) -> None:
    assert violations(json.loads(process_schema()), load_yaml(file.read_text(), file.name).data) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"process": "p"},
        {"process": "Not Kebab", "steps": {"a": {"tool": "t"}}},
        {"process": "p", "steps": {"a": {"tool": "t", "wth": {}}}},
        {"process": "p", "steps": {"a": {"tool": "t", "wait": "1s"}}},
        {"process": "p", "steps": {"a": {"wait": "soon"}}},
        {"process": "p", "steps": {"g": {"steps": {"a": {"agent": "x"}}}}},
    ],
    ids=["no steps", "a name", "an unknown key", "two kinds", "no duration", "no task in a group"],
)
def test_it_refuses_what_the_compiler_refuses(wrong: Json) -> None:
    assert violations(json.loads(process_schema()), wrong)
