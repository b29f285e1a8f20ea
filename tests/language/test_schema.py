"""JSON Schema checks say where and why, and fetch nothing."""

import pytest

from language.schema import MAX_VIOLATIONS, schema_error, violations

INVOICE = {
    "type": "object",
    "required": ["invoice_id", "amount"],
    "properties": {"invoice_id": {"type": "string"}, "amount": {"type": "number", "minimum": 0}},
}


def test_a_fitting_value_has_no_violations() -> None:
    assert violations(INVOICE, {"invoice_id": "1", "amount": 3}) == []


def test_every_violation_has_its_place() -> None:
    assert violations(INVOICE, {"amount": -3}) == [
        '"invoice_id" is a required property',
        "amount: -3 is less than the minimum of 0",
    ]


def test_places_in_lists_are_indexed() -> None:
    schema = {"properties": {"items": {"items": INVOICE}}}
    assert "items[1].amount" in violations(schema, {"items": [{"invoice_id": "1", "amount": 1}, {"amount": -1}]})[1]


def test_violations_are_bounded() -> None:
    assert len(violations({"items": {"type": "string"}}, [1] * 1000)) == MAX_VIOLATIONS


@pytest.mark.parametrize(
    ("schema", "reason"),
    [({"type": "objet"}, "type: "), ({"$ref": "http://127.0.0.1:9/x"}, "Retrieval is disabled"), ([1], "[1]")],
)
def test_what_is_no_schema_is_said(schema: object, reason: str) -> None:
    error = schema_error(schema)
    assert error is not None
    assert reason in error
