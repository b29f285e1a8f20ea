from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.people.file import DirectoryFile
from activities.people.resolving import resolve_people_activity
from contracts.people import Deputy, People, ResolvePeople

DIRECTORY = """
users:
  alice: {name: Alice Meyer, email: alice@example.com}
  bob: {}
groups:
  finance: [alice, bob]
  empty: []
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.yaml"
    path.write_text(DIRECTORY)
    return path


def rewrite(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def people(file: Path, *names: str) -> People:
    activity = resolve_people_activity(DirectoryFile(file))
    found: People = await ActivityEnvironment().run(activity, ResolvePeople(names=names))
    return found


async def resolve(file: Path, *names: str) -> dict[str, tuple[str, ...]]:
    return (await people(file, *names)).users


async def refused(file: Path, *names: str) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await resolve(file, *names)
    return caught.value


async def test_users_are_themselves_and_groups_their_members(file: Path) -> None:
    assert await resolve(file, "user:alice", "group:finance", "group:empty") == {
        "user:alice": ("user:alice",),
        "group:finance": ("user:alice", "user:bob"),
        "group:empty": (),
    }


@pytest.mark.parametrize("name", ["user:mallory", "group:nobody", "user:finance", "group:alice"])
async def test_an_unknown_name_fails_for_good_and_names_the_file(file: Path, name: str) -> None:
    error = await refused(file, "user:alice", name)
    assert (error.type, error.non_retryable) == ("UnknownPerson", True)
    assert name.partition(":")[2] in error.message
    assert str(file) in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("users: [", "people.yaml"),
        ("- alice", "people.yaml"),
        ("users: {alice: {phone: 1}}", "phone"),
        ("users: {alice: {}}\ngroups: {finance: [alice, zoe]}", "people.yaml:2:27: there is no user `zoe`"),
        ("users: {alice: {deputies: [bob]}, bob: {deputies: [alice]}}", "alice -> bob -> alice"),
    ],
)
async def test_a_directory_that_does_not_hold_is_said_with_its_mistake(file: Path, content: str, said: str) -> None:
    rewrite(file, content.encode())
    error = await refused(file, "user:alice")
    assert (error.type, error.non_retryable) == ("SettingsInvalid", True)
    assert str(file) in error.message
    assert said in error.message


async def test_a_directory_that_is_not_text_is_said(file: Path) -> None:
    rewrite(file, b"\xff\xfe\x00users")
    assert (await refused(file, "user:alice")).type == "SettingsInvalid"


async def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    error = await refused(tmp_path / "none.yaml", "user:alice")
    assert error.non_retryable
    assert "none.yaml" in error.message


async def test_a_change_of_the_file_holds_for_the_next_approval(file: Path) -> None:
    await resolve(file, "group:finance")
    rewrite(file, b"users: {carol: {}}\ngroups: {finance: [carol]}")
    assert await resolve(file, "group:finance") == {"group:finance": ("user:carol",)}


async def test_deputies_come_with_the_users_they_act_for(file: Path) -> None:
    rewrite(file, b"users: {alice: {deputies: [bob], away: {from: 2020-01-01}}, bob: {}}\ngroups: {finance: [alice]}")
    found = await people(file, "group:finance", "user:bob")
    since = datetime(2020, 1, 1, tzinfo=UTC)
    assert found.deputies == {"user:alice": (Deputy(user="user:bob", since=since, why="away"),)}
