"""Who people are: users, groups and roles from a YAML file.

users:
  alice: {name: Alice Meyer, email: alice@example.com}
groups:
  finance: [alice, bob]
roles:
  operator: [group:finance, user:alice, starter]
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
from contracts.people import ANYONE, STARTER, People, ResolvePeople

UNKNOWN_PERSON = "UnknownPerson"


class User(Contract):
    name: str = ""
    email: str = ""


class Directory(Contract):
    """`groups` maps a group to its members' user names; `roles` a role to names of users and groups, `starter` and
    `anyone`."""

    users: dict[str, User] = Field(default={})
    groups: dict[str, tuple[str, ...]] = Field(default={})
    roles: dict[str, tuple[str, ...]] = Field(default={})

    def users_of(self, name: str) -> tuple[str, ...]:
        """The users that `user:NAME`, `group:NAME` or `role:NAME` stands for. A role that is not declared is
        anyone's.

        Raises:
            LookupError: there is no such user or group.
        """
        kind, _, short = name.partition(":")
        if kind == "user" and short in self.users:
            return (name,)
        if kind == "group" and short in self.groups:
            return tuple(f"user:{member}" for member in self.groups[short])
        if kind == "role":
            named = self.roles.get(short, (ANYONE,))
            users = ((each,) if each in (STARTER, ANYONE) else self.users_of(each) for each in named)
            return tuple(dict.fromkeys(user for found in users for user in found))
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
