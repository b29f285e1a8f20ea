"""What names stand for, and who acts for whom when."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.directory import Directory, UnknownName

NOW = datetime(2026, 12, 20, 12, tzinfo=UTC)


def directory(**parts: Any) -> Directory:
    return Directory.model_validate(parts)


def acting(found: Directory, user: str, at: datetime) -> set[str]:
    return {each.user for each in found.resolve([user], NOW).deputies.get(user, ()) if each.acts(at)}


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 12, number, hour, tzinfo=UTC)


def test_a_group_has_the_members_of_the_groups_in_it_once() -> None:
    found = directory(
        users={"alice": {}, "bob": {}, "carol": {}},
        groups={"all": ["alice", "group:it", "user:bob"], "it": ["bob", "carol"]},
    )
    assert found.users_of("group:all") == ("user:alice", "user:bob", "user:carol")


def test_a_circle_of_groups_adds_nobody() -> None:
    found = directory(users={"alice": {}}, groups={"a": ["group:b", "alice"], "b": ["group:a"]})
    assert found.users_of("group:a") == ("user:alice",)


def test_without_roles_each_is_anyones_and_with_roles_only_those_are() -> None:
    assert directory(users={"alice": {}}).users_of("role:operator") == ("anyone",)
    found = directory(
        users={"alice": {}, "bob": {}},
        groups={"it": ["bob"]},
        roles={"operator": ["group:it", "starter"], "auditor": ["alice"]},
    )
    assert found.users_of("role:operator") == ("user:bob", "starter")
    assert found.users_of("role:auditor") == ("user:alice",)
    with pytest.raises(UnknownName, match="there is no role 'admin'; there are auditor, operator"):
        found.users_of("role:admin")


def test_a_deputy_acts_while_the_user_is_away_the_last_day_included() -> None:
    away = {"from": "2026-12-22", "until": "2026-12-24"}
    found = directory(users={"alice": {"deputies": ["bob"], "away": away}, "bob": {}})
    assert acting(found, "user:alice", day(21)) == set()
    assert acting(found, "user:alice", day(22, 0)) == {"user:bob"}
    assert acting(found, "user:alice", day(24, 23)) == {"user:bob"}
    assert acting(found, "user:alice", day(25, 0)) == set()


def test_absences_that_are_over_are_not_told() -> None:
    away = [{"from": "2026-12-01", "until": "2026-12-02"}, {"from": "2026-12-28T09:00:00+01:00"}]
    found = directory(users={"alice": {"deputies": ["bob"], "away": away}, "bob": {}})
    deputies = found.resolve(["user:alice"], NOW).deputies["user:alice"]
    assert [(each.user, each.since, each.until) for each in deputies] == [("user:bob", day(28, 8), None)]


def test_the_deputy_of_a_deputy_acts_while_both_are_away() -> None:
    found = directory(
        users={
            "alice": {"deputies": ["bob"], "away": {"from": "2026-12-20", "until": "2026-12-30"}},
            "bob": {"deputies": ["carol"], "away": {"from": "2026-12-24", "until": "2027-01-05"}},
            "carol": {},
        }
    )
    assert acting(found, "user:alice", day(23)) == {"user:bob"}
    assert acting(found, "user:alice", day(26)) == {"user:bob", "user:carol"}
    assert acting(found, "user:alice", day(31)) == set()
    assert acting(found, "user:bob", day(31)) == {"user:carol"}


def test_a_chain_of_deputies_ends_after_three() -> None:
    users = {f"u{n}": {"deputies": [f"u{n + 1}"], "away": {"from": "2026-12-01"}} for n in range(6)}
    found = directory(users={**users, "u6": {}})
    assert acting(found, "user:u0", day(20)) == {"user:u1", "user:u2", "user:u3"}


def test_a_proxy_acts_at_any_time() -> None:
    found = directory(users={"alice": {"proxies": ["bob"]}, "bob": {"away": {"from": "2026-12-01"}}})
    assert acting(found, "user:alice", day(20)) == {"user:bob"}


def test_what_was_read_is_read_the_same_again() -> None:
    found = directory(users={"alice": {"deputies": ["bob"], "away": {"until": "2026-12-24"}}, "bob": {}})
    assert Directory.model_validate_json(found.model_dump_json()) == found


def test_one_is_asked_under_ones_name_ones_groups_and_those_of_whom_one_is_a_deputy() -> None:
    directory = Directory.model_validate(
        {
            "users": {
                "alice": {"away": {"from": "2026-12-20", "until": "2026-12-24"}, "deputies": ["dan"]},
                "bob": {},
                "dan": {},
            },
            "groups": {"finance": ["alice", "bob"], "it": ["bob"]},
        }
    )
    now = datetime(2026, 12, 21, tzinfo=UTC)
    assert directory.asked_as("user:dan", now) == ("group:finance", "user:alice", "user:dan")
    assert directory.asked_as("user:bob", now) == ("group:finance", "group:it", "user:bob")
    assert directory.asked_as("user:dan", datetime(2027, 1, 2, tzinfo=UTC)) == ("user:dan",)
    assert directory.asked_as("user:nobody", now) == ("user:nobody",)
