"""Values are shown as a person reads them, as far as a page takes them, and say what they are."""

from typing import Any

import pytest

from api.values import MAX_CHARACTERS, MAX_ITEMS, Shown, readable


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1840.0, "1840"),
        (0.1, "0.1"),
        (True, "yes"),
        (False, "no"),
        (None, "none"),
        ([], "none"),
        ({}, "none"),
        ("", "(empty)"),
        (12345678901234567890, "12345678901234567890"),
        (1e300, "1e+300"),
    ],
)
def test_words(value: Any, text: str) -> None:
    assert readable(value) == Shown("words", text)


def test_rows_of_the_same_few_keys_are_a_table_and_others_are_facts() -> None:
    rows = [{"item": "desk", "unit_price": 5}, {"item": "chair", "unit_price": 7}]
    table = readable(rows)
    assert (table.kind, table.columns) == ("table", ("item", "unit price"))
    assert [cell.text for row in table.items for cell in row.items] == ["desk", "5", "chair", "7"]
    for other in (rows[:1], [*rows, {"item": "lamp"}], [*rows, "lamp"], [{"a": 1, "b": [2]}] * 2, [{"a": 1}] * 2):
        assert readable(other).kind == "list"
    assert [name for name, _ in readable({"a_b": 1, "": 2}).facts] == ["a b", "(no name)"]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        ["x" * 1_000] * 1_000_000,
        {f"key {n}" * 100: "x" * 100 for n in range(10_000)},
        [{f"{n}" * 1_000: [["x" * 500] * 99] * 99 for n in range(60)}] * 60,
        [{"a": "x" * 80, "b": 1}] * 100_000,
    ],
    ids=["text", "list", "facts", "nested", "table"],
)
def test_however_large_it_stays_small_and_says_what_is_left_out(value: Any) -> None:
    shown = readable(value)
    words = list(texts(shown))
    assert sum(map(len, words)) < 2 * MAX_CHARACTERS
    assert len(words) < 20 * MAX_ITEMS
    assert any("more" in text for text in words)


def texts(shown: Shown) -> Any:
    yield shown.text
    for item in shown.items:
        yield from texts(item)
    for name, item in shown.facts:
        yield name
        yield from texts(item)
