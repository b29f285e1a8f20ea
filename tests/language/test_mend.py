"""Schemas that are almost JSON Schema are mended; those that are not are refused with their place."""

from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contracts.base import Json
from contracts.errors import DefinitionInvalid
from contracts.process import GroupStep
from language.load import load_process
from language.mend import mend
from language.schema import schema_error, violations


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("dict", {"type": "object"}),
        ("float", {"type": "number"}),
        ("any", {}),
        ("Any", {}),
        ("int", {"type": "integer"}),
        ("str", {"type": "string"}),
        ("bool", {"type": "boolean"}),
        ("list[str]", {"type": "array", "items": {"type": "string"}}),
        ("Dict[str, bool]", {"type": "object", "additionalProperties": {"type": "boolean"}}),
        ("Optional[int]", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("str | None", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("Literal['a', 'b']", {"enum": ["a", "b"]}),
        (None, {}),
        ({"type": "dict"}, {"type": "object"}),
        ({"type": "any", "description": "x"}, {"description": "x"}),
        ({"type": ["float", "None"]}, {"type": ["number", "null"]}),
        ({"type": "list", "items": "float"}, {"type": "array", "items": {"type": "number"}}),
        ({"properties": {"a": "int"}}, {"type": "object", "properties": {"a": {"type": "integer"}}}),
        ({"items": {}}, {"type": "array", "items": {}}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "string", "example": "x"}, {"type": "string", "examples": ["x"]}),
        ({"type": "string", "examples": "x"}, {"type": "string", "examples": ["x"]}),
        ({"type": "int", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"type": "int", "minimum": 0, "exclusiveMinimum": False}, {"type": "integer", "minimum": 0}),
        ({"type": "bool", "default": "True"}, {"type": "boolean", "default": True}),
        ({"type": "int", "default": "None"}, {"type": "integer", "default": None}),
        ({"type": "string", "default": "None"}, {"type": "string", "default": "None"}),
        ({"properties": {"nullable": "bool"}}, {"type": "object", "properties": {"nullable": {"type": "boolean"}}}),
    ],
)
def test_what_is_meant(written: Json, meant: dict[str, Any]) -> None:
    assert mend(written) == (meant, [])


def test_what_properties_say_of_themselves_goes_into_the_objects_list() -> None:
    written = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "required": True},
            "b": {"type": "string", "required": False},
            "c": {"type": "string", "optional": True},
            "required": {"type": "string"},
        },
        "required": ["b", "c"],
    }
    made, wrong = mend(written)
    assert wrong == []
    assert made["required"] == ["a"]
    assert made["properties"]["a"] == made["properties"]["b"] == {"type": "string"}
    assert violations(made, {"b": "x"}) != []


@pytest.mark.parametrize(
    ("written", "path", "said"),
    [
        ({"properties": {"a": {"type": "flot"}}}, ("properties", "a", "type"), "did you mean `float`?"),
        ({"items": {"items": {"type": "foo"}}}, ("items", "items", "type"), "there is no type 'foo'"),
        ({"properties": ["a"]}, ("properties",), "`properties` is ['a']"),
        ({"properties": {"a": 3}}, ("properties", "a"), "3 is no schema"),
        ({"type": {"a": 1}}, ("type",), "`type` is {'a': 1}"),
        ({"type": "string", "pattern": "("}, (), "pattern"),
    ],
)
def test_what_cannot_be_mended_is_named_with_its_place(written: Json, path: tuple[str, ...], said: str) -> None:
    _, wrong = mend(written)
    assert [each.path for each in wrong] == [path]
    assert said in f"{wrong[0].message} ({wrong[0].hint})"


SCHEMAS: some.SearchStrategy[Json] = some.recursive(
    some.sampled_from(["dict", "float", "any", "int", "str", "list[str]", None, True, {}, {"type": "null"}]),
    lambda inner: some.one_of(
        some.fixed_dictionaries({"type": some.just("array"), "items": inner}),
        some.fixed_dictionaries({"properties": some.dictionaries(some.text(max_size=3), inner, max_size=3)}),
        some.fixed_dictionaries({"anyOf": some.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_what_is_mended_is_a_schema_and_stays_as_it_is(written: Json) -> None:
    made, wrong = mend(written)
    assert wrong == []
    assert schema_error(made) is None
    assert mend(made) == (made, [])


def test_schemas_of_a_process_file_are_mended_where_they_are_none() -> None:
    text = """
        process: mended
        input: {properties: {amount: {type: float, required: true}}}
        state: {seen: {schema: "list[str]"}}
        steps:
          all: {steps: {wait: {wait: 1s, output: {type: dict}}}}
          kept: {wait: 1s, output: {properties: {a: {}}}}
    """
    process = load_process(dedent(text), "process.yaml", tools={}).process
    assert process.input == {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
    assert process.state["seen"].schema_ == {"type": "array", "items": {"type": "string"}}
    group = process.steps["all"]
    assert isinstance(group, GroupStep)
    assert group.steps["wait"].output == {"type": "object"}
    assert process.steps["kept"].output == {"properties": {"a": {}}}
    with pytest.raises(DefinitionInvalid, match=r"process\.yaml:3:8: `input` is no JSON Schema"):
        load_process("process: wrong\nsteps: {a: {wait: 1s}}\ninput: {type: flot}\n", "process.yaml", tools={})
