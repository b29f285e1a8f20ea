"""`${ CEL }`: what is found in text, what it needs, what it gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ExpressionFailed
from language.expressions import (
    UnclosedExpression,
    evaluate,
    names_used,
    split,
    steps_used,
    syntax_error,
    truth,
    uses_steps_dynamically,
)

STEPS = {
    "audit": {"output": {"risk": "low"}, "status": "completed"},
    "skipped_one": {"output": None, "status": "skipped"},
}


def value(text: object, **names: object) -> object:
    return evaluate(text, names, STEPS.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${ input.amount }", 1840.5),
        ("${ input.amount > 1000 || steps.audit.output.risk != 'low' }", True),
        ("Pay ${ input.amount } now", "Pay 1840.5 now"),
        ("${ input.whole }", 1840.0),
        ("Pay ${ input.whole }", "Pay 1840"),
        ("${ {'a': '}'}.a }", "}"),
        ("$${ input.amount }", "${ input.amount }"),
        ("costs $5", "costs $5"),
        ("${ input.tags } and ${ input.none }", '["x","y"] and null'),
        ("${ steps['audit'].output.risk }", "low"),
        ({"a": ["${ input.tags[0] }", 3]}, {"a": ["x", 3]}),
        ("${ timestamp('2026-01-01T00:00:00Z') + duration('1h') }", "2026-01-01T01:00:00Z"),
    ],
)
def test_whole_expressions_keep_their_type_and_others_become_text(text: object, expected: object) -> None:
    names = {"amount": 1840.5, "whole": 1840.0, "tags": ["x", "y"], "none": None}
    result = value(text, input=names)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${ input.amuont }", "there is no field 'amuont'"),
        ("${ nope }", "Undefined variable or function: 'nope'"),
        ("${ 1 / 0 }", "division by zero"),
        ("${ steps.skipped_one.output.risk != 'low' }", "steps.skipped_one.output is null (the step is skipped)"),
        ("${ input.amount * 2 }", "convert them with int(x), double(x)"),
        ("${ [1][5] }", "index out of bounds"),
    ],
)
def test_what_cannot_be_evaluated_says_which_expression_and_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionFailed) as failed:
        value(text, input={"amount": 1.5})
    assert text[2:-1].strip() in str(failed.value)
    assert reason in str(failed.value)


def test_what_an_expression_does_not_look_at_is_not_converted() -> None:
    beyond_cel = {"number": 2**70}
    assert value("${ input.n + 1 }", input={"n": 1}, item=beyond_cel) == 2
    assert value("${ item.number }", item=beyond_cel) == 2**70
    rows = [{"id": 1}]
    assert value("${ input.rows }", input={"rows": rows}) is rows


def test_a_condition_that_is_no_boolean_is_an_error_and_not_truthiness() -> None:
    with pytest.raises(ExpressionFailed, match="must give true or false"):
        truth("${ input.n }", {"input": {"n": 1}})


def test_steps_are_found_outside_strings_only() -> None:
    assert steps_used("steps.a.output + steps['b'].output + 'steps.c' + other.steps.d") == {"a", "b"}


@pytest.mark.parametrize("expression", ["steps[x].output", "size(steps)"])
def test_dynamic_use_of_steps_is_noticed(expression: str) -> None:
    assert uses_steps_dynamically(expression)


def test_steps_in_a_string_are_no_dynamic_use() -> None:
    assert not uses_steps_dynamically("steps['x'].output + ' of the steps'")


def test_names_bound_by_macros_are_not_used_names() -> None:
    assert names_used("input.l.map(x, x * item)") == {"input", "item"}


def test_syntax_errors_have_a_place() -> None:
    assert syntax_error("input.a > 1") is None
    assert syntax_error(" ") == ("the expression is empty", 1, 1)
    wrong = syntax_error("input.a >\n > 1")
    assert wrong is not None
    assert wrong[1:] == (2, 2)


def test_an_unclosed_expression_has_its_offset() -> None:
    with pytest.raises(UnclosedExpression) as failed:
        split("Pay ${ input.amount")
    assert failed.value.offset == 4


@given(st.text())
def test_text_without_expressions_is_itself(text: str) -> None:
    if "${" not in text:
        assert value(text) == text


@given(st.lists(st.text(alphabet="ab$ {}'", max_size=8), max_size=6))
def test_split_never_loses_or_invents_literal_text(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        found = split(text)
    except UnclosedExpression:
        return
    literal = "".join(content for _, content, is_expression in found if not is_expression)
    assert len(literal) <= len(text)
    assert all(content in text.replace("$${", "${") for _, content, is_expression in found if not is_expression)


def test_a_result_that_json_does_not_have_is_an_error() -> None:
    with pytest.raises(ExpressionFailed, match="no number that JSON has"):
        evaluate("${ 1.0 / 0.0 }", {})
