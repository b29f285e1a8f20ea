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
from tests.scim import ENTERPRISE, TOKEN, Idp, open_idp
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


async def test_a_role_is_as_the_settings_say_else_whoever_has_it_on_the_server_else_nobody(
    idp: Idp, desk: Desk
) -> None:
    idp.group("it", idp.user("tom"))
    assert (await desk.resolve("role:operator")).users["role:operator"] == ()
    for number in range(3):
        idp.user(f"op{number}", roles=[{"value": "auditor"}, {"value": "operator", "primary": True}])
    idp.user("gone", active=False, roles=[{"value": "operator"}])
    idp.user("not-quite", roles=[{"value": "Operator"}])
    found = await desk.resolve("role:operator", "role:auditor", cache="0s")
    assert found.users == dict.fromkeys(("role:operator", "role:auditor"), ("user:op0", "user:op1", "user:op2"))
    roles = {"operator": ["group:it", "starter"]}
    assert (await desk.resolve("role:operator", roles=roles)).users["role:operator"] == ("user:tom", "starter")
    everyone = await desk.directory(roles=roles).everyone()
    assert everyone.users_of("role:operator") == ("user:tom", "starter")
    assert everyone.users_of("role:auditor") == ("user:op0", "user:op1", "user:op2")


async def test_a_server_that_cannot_look_for_roles_says_where_else_they_can_stand(idp: Idp, desk: Desk) -> None:
    idp.trouble = [Answer({"scimType": "invalidFilter"}, status=400)]
    assert "or name who has the role in people.roles" in (await desk.refused("role:operator")).message


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
        (Answer({"status": "500"}, status=405), "people.scim"),
    ],
)
async def test_trouble_that_will_stay_names_the_setting(idp: Idp, desk: Desk, answer: Answer, named: str) -> None:
    idp.trouble = [answer]
    error = await desk.refused("user:alice")
    assert (error.type, error.non_retryable) == ("SettingsInvalid", True)
    assert f"mend the setting {named}" in error.message


PERSON = {"id": "7", "userName": "alice"}
ONE = {"totalResults": 1}


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(b"<html>"), "the whole of it: Invalid JSON"),
        (Answer([PERSON]), "the whole of it: Input should be an object"),
        (Answer({"Resources": [PERSON]}), "totalResults: Field required, not nothing"),
        (Answer({"totalResults": "many"}), "totalResults: Input should be a valid integer"),
        (Answer(ONE), "there are 1, and from 1 on it sends nothing"),
        (Answer({**ONE, "Resources": {"0": PERSON}}), "Resources: Input should be a valid array"),
        (Answer({**ONE, "Resources": [{"userName": "alice"}]}), "Resources.0.id: Field required, not nothing"),
        (Answer({**ONE, "Resources": [{**PERSON, "id": ""}]}), "Resources.0.id: String should have at least 1"),
        (
            Answer({**ONE, "Resources": [{**PERSON, "emails": "a@example.com"}]}),
            "Resources.0.emails: Input should be a valid array, not 'a@example.com'",
        ),
        (
            Answer({**ONE, "Resources": [{**PERSON, "roles": ["operator"]}]}),
            "Resources.0.roles.0: Input should be an object",
        ),
        (
            Answer({**ONE, "Resources": [{**PERSON, "active": "perhaps"}]}),
            "Resources.0.active: Input should be a valid",
        ),
        (Answer(b" " * 20_000_001), "it has more than 20000000 bytes"),
    ],
)
async def test_an_answer_that_is_no_scim_names_its_place_the_value_and_the_way_out(
    idp: Idp, desk: Desk, answer: Answer, what: str
) -> None:
    idp.trouble = [answer]
    error = await desk.refused("user:alice")
    assert (error.type, error.non_retryable) == ("SettingsInvalid", True)
    assert what in error.message
    assert error.message.startswith(f"{idp.base}: GET /Users")
    assert error.message.endswith("mend it on that server, or the setting people.scim")


async def test_pages_that_never_end_are_an_error_and_no_loop(idp: Idp, desk: Desk) -> None:
    idp.trouble = [Answer({"totalResults": 9, "Resources": [PERSON]}) for _ in range(9)]
    assert "there are 9, and from 2 on it sends what it sent before" in (await desk.refused("user:alice")).message
    assert len(idp.service.requests) == 2


async def test_null_is_no_value_and_a_number_is_a_name(idp: Idp, desk: Desk) -> None:
    nothing = dict.fromkeys(("emails", "roles", "displayName", "name", "active", ENTERPRISE))
    idp.trouble = [Answer({**ONE, "Resources": [{**nothing, "id": 7, "userName": "alice"}]})]
    assert (await desk.resolve("user:alice", managers_decide=True)).users == {"user:alice": ("user:alice",)}


async def test_a_wrong_token_names_its_setting_and_a_missing_one_too(desk: Desk) -> None:
    assert "people.token" in (await desk.refused("user:alice", secret="other")).message
    with pytest.raises(SettingsInvalid, match=r"people\.token: the variable SCIM is not set"):
        desk.directory(secret="")
