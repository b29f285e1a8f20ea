"""A directory of people is read, or refused with every mistake in it at its place."""

from textwrap import dedent

import pytest

from contracts.errors import DefinitionInvalid
from language.directory import load_directory


def problems(text: str) -> list[str]:
    with pytest.raises(DefinitionInvalid) as caught:
        load_directory(dedent(text).strip(), "people.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_everything_a_directory_can_say_is_read() -> None:
    found = load_directory(
        dedent("""
        users:
          alice: {name: Alice, email: a@example.com, slack: U1, deputies: [bob], away: {until: 2026-12-24}}
          bob: {away: [{from: 2026-12-01, until: 2026-12-02}, {from: "2026-12-24T09:00:00+01:00"}], proxies: [alice]}
        groups: {it: [bob], all: [alice, group:it]}
        roles: {operator: [group:it, starter], clerk: [anyone]}
        """),
        "people.yaml",
    )
    assert (found.users["alice"].slack, len(found.users["bob"].away)) == ("U1", 2)


def test_every_mistake_is_told_at_its_place() -> None:
    assert problems("""
        users:
          alice: {deputies: [bob, zoe]}
          bob: {proxies: [bob]}
        groups:
          it: [alice, group:ops, "x:y"]
        roles:
          admin: [boob]
        """) == [
        "people.yaml:2:27: there is no user `zoe` (there are: alice, bob)",
        "people.yaml:3:19: bob cannot act for bob (name somebody else)",
        "people.yaml:5:15: there is no group `ops` (there are: it)",
        "people.yaml:5:26: `x:y` is neither a user nor a group (write NAME or group:NAME)",
        "people.yaml:7:3: `roles` does not say who is `operator`, so nobody may repair "
        "(add `operator: [...]`; `anyone` in it lets everybody repair)",
        "people.yaml:7:11: there is no user `boob` (did you mean `bob`?)",
    ]


def test_mistakes_of_shape_are_told_together() -> None:
    assert problems("""
        users:
          alice: {away: {from: 2026-12-24, until: 2026-12-01}, phone: 1}
          bob: {away: [{from: yesterday}, {form: 2026-12-01}]}
          carol: {away: {from: 2026-12-24T09:00:00}}
        """) == [
        "people.yaml:2:17: `until` is before `from`; swap them, or mend the year",
        "people.yaml:2:56: unknown key `phone` (there are: away, deputies, email, name, proxies, slack)",
        "people.yaml:3:23: 'yesterday' is no time; write a day (2026-12-24) or RFC 3339 (2026-12-24T09:00:00+01:00)",
        "people.yaml:3:36: unknown key `form` (did you mean `from`?)",
        "people.yaml:4:24: '2026-12-24T09:00:00' is no time; write a day (2026-12-24) or RFC 3339 "
        "(2026-12-24T09:00:00+01:00)",
    ]


@pytest.mark.parametrize(
    ("deputies", "circle"),
    [
        ({"alice": "bob", "bob": "alice"}, "alice -> bob -> alice"),
        ({"dora": "bob", "alice": "bob", "bob": "carol", "carol": "alice"}, "alice -> bob -> carol -> alice"),
    ],
)
def test_a_circle_of_deputies_is_refused_by_its_members(deputies: dict[str, str], circle: str) -> None:
    text = "users:\n" + "\n".join(f"  {name}: {{deputies: [{other}]}}" for name, other in deputies.items())
    (said,) = problems(text)
    assert said.endswith(f"a circle of deputies: {circle} (take one of them out)")


def test_a_circle_of_groups_is_refused() -> None:
    (said,) = problems("groups: {a: [group:b], b: [group:a]}")
    assert "a circle of groups: a -> b -> a" in said
