"""The page of the patterns lists all 43 of them, each with its file and its test, and every file and test there is."""

import ast
import re

from language.source import load_yaml
from tests.docs.pages import ROOT
from tests.patterns.files import FOLDER

ROW = re.compile(
    r"^\| (?P<number>\d+) \| (?P<name>[^|]+) \| (?P<how>[^|]+) "
    r"\| \[(?P<file>[\w-]+)\]\(\.\./tests/patterns/(?P<path>[\w-]+)\.yaml\) \| `(?P<test>test_\d\d)` \|$",
    re.M,
)
ROWS = [found.groupdict() for found in ROW.finditer((ROOT / "docs/patterns.md").read_text())]


def test_the_page_lists_each_of_the_43_patterns_once() -> None:
    assert sorted(int(row["number"]) for row in ROWS) == list(range(1, 44))


def test_each_pattern_leads_to_the_file_and_test_of_its_number() -> None:
    for row in ROWS:
        number = f"{int(row['number']):02}"
        assert row["file"] == row["path"]
        assert (row["file"][:3], row["test"]) == (f"{number}-", f"test_{number}")


def test_every_file_is_on_the_page_and_says_which_pattern_it_is() -> None:
    files = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert files == sorted(row["file"] for row in ROWS)
    for name in files:
        number, _, process = name.partition("-")
        data = load_yaml((FOLDER / f"{name}.yaml").read_text(), name).data
        assert data["process"] == process
        assert data["description"].startswith(f"WCP-{int(number)}: ")


def test_every_pattern_has_a_test_and_every_test_a_pattern() -> None:
    modules = [ast.parse(path.read_text()) for path in FOLDER.glob("test_*.py")]
    functions = [node.name for module in modules for node in module.body if isinstance(node, ast.AsyncFunctionDef)]
    assert {name[:7] for name in functions} == {row["test"] for row in ROWS}
