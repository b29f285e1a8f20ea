"""Macros over long lists come to what CEL itself comes to, whatever stands around them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ExpressionFailed
from language import macros
from language.expressions import run
from language.macros import PART

EXPRESSIONS = (
    "input.rows.filter(x, x.a > 3)",
    "input.rows.filter(x, x.a > input.least).map(y, {'n': y.a})",
    "size(input.rows.filter(x, x.b == ')')) + size(input.rows.map(x, x.a > 1, x))",
    "input.rows.exists(x, x.a == 3) ? input.rows.map(x, x.a) : [0]",
    "input.rows.map(x, size(input.rows.filter(y, y.a == x.a)))",
    "input.rows.filter(x, x.a in input.rows.map(y, y.a + 1))",
    "input['rows'].filter(x, x.a > 3)",
    "'input.rows.filter(' + string(size(input.rows)) + ')'",
    "part.filter(x, x > 2) + input.rows.map(part, part.a)",
    "input.rows.filter(x, size(input) == 2 && has(x.b))",
    "input.rows.map(x, double(x.a) / 2.0)",
    "input .rows .filter(x, x.a > 1).map(y, y.a)",
    "input.rows.filter(x, x.a > 0 // (\n) + ['a']",
    r"input.rows.filter(x, x.b != r'\') + ['a']",
    r"input.rows.filter(x, x.b != '\'(') + ['a']",
    "input.rows.filter(x, x.b != ''')(''') + ['a']",
    "input.rows.map(x, duration('1ns')).exists(t, t > duration('0s'))",
    "input.rows.map(x, type(x.a)).all(t, t == int)",
    "input.rows.map(x, uint(x.a))",
    "size(input.rows) == 9 || size(input.rows.filter(x, x.a / x.a == 1)) >= 0",
    "has(input.none) && input.none.filter(x, x.a > 1) == []",
)
NAMES = st.fixed_dictionaries(
    {
        "input": st.fixed_dictionaries(
            {
                "rows": st.lists(
                    st.fixed_dictionaries({"a": st.integers(0, 6), "b": st.sampled_from(["(", ")", "é", ""])}),
                    max_size=9,
                ),
                "least": st.integers(0, 6),
            }
        ),
        "part": st.lists(st.integers(0, 5), max_size=5),
    }
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@settings(max_examples=25)
@given(names=NAMES)
def test_in_parts_it_comes_to_the_same(expression: str, names: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = outcome(expression, names)
        patch.setattr(macros, "PART", 2)
        assert outcome(expression, names) == whole


def outcome(expression: str, names: dict[str, Any]) -> object:
    try:
        return run(expression, names)
    except ExpressionFailed as error:
        return str(error)


@pytest.mark.parametrize(
    "expression", ["input.filter(x, x.none > 1)", "input.map(x, x / 0)", "input.filter(x, )", "input.filter(x, x > 1"]
)
def test_what_cannot_be_evaluated_is_said_as_of_a_short_list(expression: str) -> None:
    said = []
    for length in (2, 2 * PART):
        with pytest.raises(ExpressionFailed) as failed:
            run(expression, {"input": [1] * length})
        said.append(str(failed.value))
    assert said[0] == said[1]


def test_an_error_that_does_not_matter_is_none() -> None:
    assert run("true || size(input.filter(x, x.none > 1)) > 0", {"input": [1] * 2 * PART}) is True


def test_a_list_of_twenty_thousand_rows_is_no_matter() -> None:
    """In one go it would be one of minutes, longer than a test may take."""
    rows: list[dict[str, Any]] = [{"a": number, "b": "x"} for number in range(20_000)]
    names = {"input": {"rows": rows, "least": 10}}
    assert run("size(input.rows.filter(x, x.a >= input.least).map(x, x.a))", names) == 19_990
    rows.append({"b": "x"})
    with pytest.raises(ExpressionFailed, match="there is no field 'a'"):
        run("input.rows.filter(x, x.a >= 0)", names)
