"""Who people are: users and groups from a YAML file.

users:
  alice: {name: Alice Meyer, email: alice@example.com}
groups:
  finance: [alice, bob]
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml
from pydantic import Field, ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.activities import RESOLVE_PEOPLE
from contracts.base import Contract
from contracts.errors import SettingsInvalid
from contracts.people import People, ResolvePeople

UNKNOWN_PERSON = "UnknownPerson"


class User(Contract):
    name: str = ""
    email: str = ""


class Directory(Contract):
    """`groups` maps a group to its members' user names."""

    users: dict[str, User] = Field(default={})
    groups: dict[str, tuple[str, ...]] = Field(default={})

    def users_of(self, name: str) -> tuple[str, ...]:
        """The users that `user:NAME` or `group:NAME` stands for.

        Raises:
            LookupError: there is no such user or group.
        """
        kind, _, short = name.partition(":")
        if kind == "user" and short in self.users:
            return (name,)
        if kind == "group" and short in self.groups:
            return tuple(f"user:{member}" for member in self.groups[short])
        known = self.users if kind == "user" else self.groups
        raise LookupError(f"there is no {kind} {short!r}; there are {', '.join(sorted(known)) or 'none'}")


def read_directory(file: Path) -> Directory:
    """The directory in a file.

    Raises:
        SettingsInvalid: it cannot be read, or a group has a member who is no user.
    """
    try:
        directory = Directory.model_validate(yaml.safe_load(file.read_text()) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise SettingsInvalid(f"{file}: the directory of people cannot be read: {error}") from error
    for group, members in directory.groups.items():
        if strangers := [member for member in members if member not in directory.users]:
            raise SettingsInvalid(f"{file}: group {group} has members who are no users: {', '.join(strangers)}")
    return directory


def resolve_people_activity(file: Path) -> Callable[[ResolvePeople], Awaitable[People]]:
    """The file is read anew for each approval, so that a change holds for the next one."""

    @activity.defn(name=RESOLVE_PEOPLE.name)
    async def resolve(request: ResolvePeople) -> People:
        try:
            directory = read_directory(file)
            return People(users={name: directory.users_of(name) for name in request.names})
        except LookupError as error:
            message = f"{error}; add it to {file}, then retry"
            raise ApplicationError(message, type=UNKNOWN_PERSON, non_retryable=True) from error
        except SettingsInvalid as error:
            raise ApplicationError(str(error), type=error.type_name(), non_retryable=True) from error

    return resolve
