"""Names of tools in others' words: ours, different for different ones, and fit for endpoints whatever they were."""

import hashlib

from hypothesis import example, given
from hypothesis import strategies as some

from activities.model.names import MAX_LENGTH, outside_names
from contracts.tools import NAME
from language.tools.names import own_names

NAMES = some.lists(some.text(max_size=80), unique=True, max_size=12)
DIGEST_OF_A_B = own_names(["a-b", "a.b"])


@given(NAMES)
@example(["x" * 2000, "X" * 2000])
@example(["a-b", "a.b", "a_b", "aB"])
@example([*DIGEST_OF_A_B.values(), "a-b", "a.b"])
@example(["", "-", "9", "Ä", "é"])
def test_every_name_becomes_a_name_of_its_own(names: list[str]) -> None:
    made = own_names(names)
    assert set(made) == set(names)
    assert len(set(made.values())) == len(names)
    assert all(NAME.match(name) and len(name) < 300 for name in made.values())


@given(NAMES)
def test_what_a_name_becomes_does_not_depend_on_the_order(names: list[str]) -> None:
    assert own_names(names) == own_names(list(reversed(names)))


def test_names_read_as_ours_do() -> None:
    names = ["getOrder", "list-notes", "notes/search", "HTTPStatus", "get_order_2"]
    assert own_names(names) == {
        "getOrder": "get_order",
        "list-notes": "list_notes",
        "notes/search": "notes_search",
        "HTTPStatus": "http_status",
        "get_order_2": "get_order_2",
    }


DOTTED = some.from_regex(r"\A[a-z][a-z0-9_]{0,40}(\.[a-z][a-z0-9_]{0,40}){0,3}\Z")


LONG = "notes." + "a" * 80
LOOKS_LIKE_LONG = f"{LONG[:55]}_{hashlib.sha256(LONG.encode()).hexdigest()[:8]}"


@given(some.lists(DOTTED, unique=True, max_size=10))
@example([LONG, LOOKS_LIKE_LONG, LOOKS_LIKE_LONG.replace(".", "_")])
@example(["a.b", "a_b", "a.b_c", "a_b.c", "a.b.c"])
@example(["x" * 70, "x" * 71, "x" * 64])
def test_endpoints_get_names_they_take_that_lead_back_to_one_tool(names: list[str]) -> None:
    outside = outside_names(names)
    assert set(outside) == set(names)
    assert len(set(outside.values())) == len(names)
    for name in outside.values():
        assert len(name) <= MAX_LENGTH
        assert all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in name)
