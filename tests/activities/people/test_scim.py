"""People on a real HTTP server that speaks SCIM."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.people.opening import open_directory
from activities.people.resolving import resolve_people_activity
from contracts.directory import PeopleDirectory
from contracts.errors import SettingsInvalid
from contracts.people import Deputy, People, ResolvePeople
from contracts.people_settings import PeopleSettings
from tests.scim import TOKEN, Idp, open_idp
from tests.service import Answer


@pytest.fixture
def idp() -> Iterator[Idp]:
    with open_idp() as opened:
        yield opened


class Desk:
    """Directories with these settings, closed at the end."""

    def __init__(self, idp: Idp) -> None:
        self._idp = idp
        self.opened: list[PeopleDirectory] = []

    def directory(self, *, secret: str = TOKEN, **settings: Any) -> PeopleDirectory:
        said = PeopleSettings.model_validate({"scim": self._idp.base, "token": "env:SCIM", **settings})
        self.opened.append(open_directory(said, {"SCIM": secret}, None))
        return self.opened[-1]

    async def resolve(self, *names: str, **settings: Any) -> People:
        activity = resolve_people_activity(self.directory(**settings))
        found: People = await ActivityEnvironment().run(activity, ResolvePeople(names=names))
        return found

    async def refused(self, *names: str, **settings: Any) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.resolve(*names, **settings)
        assert TOKEN not in caught.value.message
        return caught.value


@pytest_asyncio.fixture
async def desk(idp: Idp) -> AsyncIterator[Desk]:
    made = Desk(idp)
    yield made
    for directory in made.opened:
        await directory.close()


async def test_users_and_groups_are_found_through_pages_and_groups_inside_groups(idp: Idp, desk: Desk) -> None:
    people = [idp.user(f"u{number}") for number in range(5)]
    inner = idp.group("it", *people[2:])
    idp.group("all", *people[:3], groups=(inner,))
    found = await desk.resolve("user:u1", "group:all", "group:it")
    assert found.users == {
        "user:u1": ("user:u1",),
        "group:all": tuple(f"user:u{number}" for number in range(5)),
        "group:it": ("user:u2", "user:u3", "user:u4"),
    }


async def test_whoever_is_not_active_is_not_there(idp: Idp, desk: Desk) -> None:
    idp.group("it", idp.user("alice"), idp.user("gone", active=False))
    assert (await desk.resolve("group:it")).users == {"group:it": ("user:alice",)}
    assert (await desk.refused("user:gone")).type == "UnknownPerson"


async def test_a_name_is_what_the_setting_says_and_nothing_else_is_taken_for_it(idp: Idp, desk: Desk) -> None:
    idp.user("a.meyer@example.com", externalId="alice")
    assert (await desk.resolve("user:alice", user_name="externalId")).users == {"user:alice": ("user:alice",)}
    assert (await desk.refused("user:A.Meyer@example.com")).type == "UnknownPerson"


async def test_a_name_cannot_change_the_filter(idp: Idp, desk: Desk) -> None:
    idp.user("alice")
    error = await desk.refused('user:x"or(userName)pr"')
    assert (error.type, error.non_retryable) == ("UnknownPerson", True)
    assert idp.base in error.message


async def test_roles_come_from_the_settings(idp: Idp, desk: Desk) -> None:
    idp.group("it", idp.user("tom"))
    roles = {"operator": ["group:it", "starter"]}
    assert (await desk.resolve("role:operator", roles=roles)).users["role:operator"] == ("user:tom", "starter")
    assert (await desk.resolve("role:operator")).users["role:operator"] == ("anyone",)


async def test_managers_decide_in_their_peoples_place_when_the_settings_say_so(idp: Idp, desk: Desk) -> None:
    boss = idp.user("mia")
    idp.group("it", idp.user("tom", manager=boss))
    assert (await desk.resolve("group:it")).deputies == {}
    found = await desk.resolve("group:it", managers_decide=True)
    assert found.deputies == {"user:tom": (Deputy(user="user:mia"),)}


async def test_an_answer_is_good_for_a_while(idp: Idp, desk: Desk) -> None:
    idp.user("alice")
    kept, fresh = desk.directory(cache="1h"), desk.directory(cache="0s")
    for directory in (kept, fresh):
        await directory.find(["user:alice"])
    asked = len(idp.service.requests)
    await kept.find(["user:alice"])
    assert len(idp.service.requests) == asked
    await fresh.find(["user:alice"])
    assert len(idp.service.requests) == asked + 1


async def test_everyone_can_be_shown(idp: Idp, desk: Desk) -> None:
    idp.group("it", *[idp.user(f"u{number}") for number in range(5)])
    idp.group("Not a name of ours")
    found = await desk.directory().everyone()
    assert set(found.users) == {f"u{number}" for number in range(5)}
    assert found.users_of("group:it") == tuple(f"user:u{number}" for number in range(5))
    assert found.users["u0"].email == "u0@example.com"


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (Answer({}, status=503), None),
        (Answer({}, status=429, headers={"retry-after": "7"}), timedelta(seconds=7)),
        (Answer("slow", cut=10), None),
    ],
)
async def test_trouble_that_may_pass_is_tried_again(
    idp: Idp, desk: Desk, answer: Answer, after: timedelta | None
) -> None:
    idp.trouble = [answer]
    error = await desk.refused("user:alice")
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("DirectoryUnavailable", False, after)


async def test_a_server_that_is_not_there_is_tried_again(idp: Idp, desk: Desk) -> None:
    error = await desk.refused("user:alice", scim="http://127.0.0.1:9/scim")
    assert (error.type, error.non_retryable) == ("DirectoryUnavailable", False)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Answer({}, status=403), "people.token"),
        (Answer({"scimType": "invalidFilter"}, status=400), "people.scim"),
        (Answer({}, status=404), "people.scim"),
        (Answer({}, status=302, headers={"location": "https://elsewhere.example"}), "people.scim"),
        (Answer(b"<html>"), "people.scim"),
    ],
)
async def test_trouble_that_will_stay_names_the_setting(idp: Idp, desk: Desk, answer: Answer, named: str) -> None:
    idp.trouble = [answer]
    error = await desk.refused("user:alice")
    assert (error.type, error.non_retryable) == ("SettingsInvalid", True)
    assert f"mend the setting {named}" in error.message


async def test_a_wrong_token_names_its_setting_and_a_missing_one_too(desk: Desk) -> None:
    assert "people.token" in (await desk.refused("user:alice", secret="other")).message
    with pytest.raises(SettingsInvalid, match=r"people\.token: the variable SCIM is not set"):
        desk.directory(secret="")
