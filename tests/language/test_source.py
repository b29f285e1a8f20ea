"""YAML and JSON become data, each part with its place; what cannot be read is one clear mistake."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import DefinitionInvalid
from language.directory import load_directory
from language.evals import load_evals
from language.source import Place, load_yaml
from language.tools.files import read_tools_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abz :#-'\"\\\n{}[]&*!|>%@`$é", max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab:'#", max_size=4), inner, max_size=4),
    max_leaves=12,
)


def mistakes(text: str) -> list[str]:
    with pytest.raises(DefinitionInvalid) as raised:
        load_yaml(text, "f.yaml")
    return [str(problem) for problem in raised.value.problems]


def test_on_yes_no_and_dates_are_text_as_in_yaml_1_2() -> None:
    text = "{on: yes, no: off, day: 2026-12-01, time: 12:30:00, octal: 0o17, hex: 0xff, old: 017}"
    assert load_yaml(text, "f").data == {
        "on": "yes",
        "no": "off",
        "day": "2026-12-01",
        "time": "12:30:00",
        "octal": 15,
        "hex": 255,
        "old": 17,
    }


def test_numbers_truth_and_nothing_have_their_types_unless_quoted() -> None:
    text = "[1, -2.5, 1e3, true, False, null, ~, '1', \"true\"]"
    assert load_yaml(text, "f").data == [1, -2.5, 1000.0, True, False, None, None, "1", "true"]


@settings(deadline=None)
@given(JSON)
def test_json_is_yaml(value: object) -> None:
    assert load_yaml(json.dumps(value, ensure_ascii=False), "f").data == value


def test_values_and_keys_have_places() -> None:
    source = load_yaml("a:\n  - b: 1\n    c: 2\n", "f")
    assert source.key(("a",)) == Place(1, 1)
    assert source.place(("a", 0, "c")) == Place(3, 8)
    assert source.key(("a", 0, "c")) == Place(3, 5)
    assert source.place(("a", 0, "nothing", "here")) == Place(2, 5)


def test_an_alias_stands_for_its_value() -> None:
    assert load_yaml("a: &x [1]\nb: *x\n", "f").data == {"a": [1], "b": [1]}


def test_a_key_that_is_there_twice_is_named_with_the_first_one() -> None:
    source = load_yaml("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "f.yaml")
    assert [str(problem) for problem in source.problems] == [
        "f.yaml:4:3: `c` is written twice (it is in line 3 already; remove or rename one)",
        "f.yaml:5:1: `a` is written twice (it is in line 1 already; remove or rename one)",
    ]
    assert source.data == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize("text", ["", "# nothing but this\n"])
def test_an_empty_file_is_told_how_to_start(text: str) -> None:
    assert mistakes(text) == ["f.yaml:1:1: the file is empty (start with `process: name`)"]


@pytest.mark.parametrize(
    ("load", "begins"),
    [
        (lambda: load_evals("", "f.yaml", steps=(), tools=(), schema=None), "cases:"),
        (lambda: load_directory("", "f.yaml"), "users:"),
        (lambda: read_tools_file("", "f.yaml"), "http:"),
    ],
)
def test_an_empty_file_of_another_kind_is_told_how_that_starts(load: Callable[[], object], begins: str) -> None:
    with pytest.raises(DefinitionInvalid) as told:
        load()
    assert str(told.value) == f"f.yaml:1:1: the file is empty (start with `{begins}`)"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("process: p\nsteps:\n\ta: 1\n", "f.yaml:3:1"),
        ("a: b: c\n", "f.yaml:1:5"),
        ("a: {x: ${ b }}\n", "f.yaml:1:9"),
        ("a: *gone\n", "f.yaml:1:4"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1"),
        ("a: &x [*x]\n", "f.yaml:1:4"),
    ],
    ids=["a tab", "two colons", "an open brace", "no anchor", "two documents", "an anchor in itself"],
)
def test_what_is_no_yaml_is_named_at_its_place(text: str, place: str) -> None:
    assert [line.split(": ")[0] for line in mistakes(text)] == [place]
