"""Values made of schemas fit them, for every tool there is; and what the kit tells when something is amiss."""

from typing import Any

import pytest

from contracts.tools import ToolSpec
from language.schema import violations
from runtime.catalog import Catalog
from runtime.settings import PROJECT
from testkit import OpenTrial, example
from testkit.fakes import fake_result

TOOLS = Catalog.load([PROJECT / "processes"]).specs


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_fake_of_every_sample_tool_returns_what_fits(name: str) -> None:
    assert violations(TOOLS[name].returns, fake_result(TOOLS[name])) == []


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({}, None),
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-05"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        ({"type": "integer", "maximum": -5}, -5),
        ({"enum": ["low", "high"]}, "low"),
        ({"const": 7}, 7),
        ({"type": "string", "default": "x"}, "x"),
        ({"type": ["string", "null"]}, "text"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "array"}}}, []),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {}}}, {"a": 0}),
        ({"allOf": [{"required": ["a"], "properties": {"a": {"const": 1}}}, {"required": ["b"]}]}, {"a": 1, "b": None}),
    ],
)
def test_the_least_value_of_a_schema(schema: dict[str, Any], made: Any) -> None:
    assert example(schema) == made


def test_a_schema_that_no_example_fits_asks_what_to_return() -> None:
    spec = ToolSpec(name="plate.read", returns={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"})
    with pytest.raises(ValueError, match=r'say what the fake returns: trial\.fake\("plate\.read", returns=\.\.\.\)'):
        fake_result(spec)


async def test_a_tool_that_is_not_there_cannot_be_faked(trial: OpenTrial) -> None:
    desk = await trial("processes/invoice-approval")
    with pytest.raises(LookupError, match=r"there is no tool 'bnak\.\*'; there are .*bank\.transfer"):
        desk.fake("bnak.*")


async def test_a_run_that_never_comes_to_what_is_awaited_says_where_it_stands(
    trial: OpenTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await trial("processes/invoice-approval")
    run = await desk.start({"invoice_id": "INV-2041", "amount": 1840, "supplier": "Nordwind GmbH"})
    await run.waits_for("sign_off")
    monkeypatch.setattr("testkit.desk.PATIENCE", 0.5)
    with pytest.raises(
        AssertionError, match=r"did not come to its end; it is waiting: order completed, .*sign_off waiting"
    ):
        await run.ended()
