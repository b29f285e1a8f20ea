"""What an edit changed is told place by place."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.differences import difference

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=1), inner),
    max_leaves=8,
)


def changes(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [(each.path, each.before, each.after) for each in difference(before, after)]


def test_the_smallest_places_that_differ_are_named() -> None:
    before = {"to": "acme", "lines": [{"amount": 10}, {"amount": 20}], "rush": False}
    after = {"to": "acme", "lines": [{"amount": 10}, {"amount": 25}], "rush": False}
    assert changes(before, after) == [("lines[1].amount", 20, 25)]


def test_what_one_side_lacks_is_a_place_of_its_own_also_when_it_is_null() -> None:
    assert changes({"a": 1}, {"b": None}) == [("a", 1, None), ("b", None, None)]
    assert changes([1], [1, 2]) == [("[1]", None, 2)]


def test_a_value_of_another_kind_is_one_place() -> None:
    assert changes({"a": {"b": 1}}, {"a": [1]}) == [("a", {"b": 1}, [1])]
    assert changes(1, True) == [("", 1, True)]
    assert changes(None, {"a": 1}) == [("", None, {"a": 1})]


@given(VALUES)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert difference(value, deepcopy(value)) == ()


@given(VALUES, VALUES)
def test_unequal_values_differ_somewhere(before: Any, after: Any) -> None:
    if before != after:
        assert difference(before, after)
