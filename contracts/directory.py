"""The directory of people: users with their groups, roles and deputies, and what a name in a process stands for."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import product
from typing import Annotated, Protocol, Self

from pydantic import BeforeValidator, Field, model_validator

from contracts.base import Contract
from contracts.errors import CallerError
from contracts.people import ANYONE, STARTER, Deputy, People

MAX_CHAIN = 3
"""How far a deputy's own deputies are followed when the deputy is away too."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class UnknownName(CallerError):
    """The directory has no such user, group or role."""


class DirectoryUnavailable(CallerError):
    """The directory cannot be asked now. `after`: when it may be asked again, as it said."""

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


def _moment(value: object, *, end: bool) -> object:
    if isinstance(value, str):
        value = value.strip()
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is None or (found.tzinfo is None and not _DAY.fullmatch(value)):
            raise ValueError(f"{value!r} is no time; write a day (2026-12-24) or RFC 3339 (2026-12-24T09:00:00+01:00)")
        if found.tzinfo is None:
            return datetime.combine(found.date() + timedelta(days=end), time(), UTC)
        return found
    return value


From = Annotated[datetime, BeforeValidator(lambda value: _moment(value, end=False))]
Until = Annotated[datetime, BeforeValidator(lambda value: _moment(value, end=True))]


class Away(Contract):
    """Not there `from` until `until`. A day is a whole day in UTC, the last one included; None: no such end."""

    from_: From | None = Field(default=None, alias="from")
    until: Until | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ is not None and self.until is not None and self.until <= self.from_:
            raise ValueError("`until` is before `from`; swap them, or mend the year")
        return self

    def both(self, other: "Away") -> "Away | None":
        """The time in which both are so; None when there is none."""
        since = max((each for each in (self.from_, other.from_) if each is not None), default=None)
        until = min((each for each in (self.until, other.until) if each is not None), default=None)
        if since is not None and until is not None and until <= since:
            return None
        return Away(from_=since, until=until)


def _several(value: object) -> object:
    """One period need not be written as a list."""
    return (value,) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value


Periods = Annotated[tuple[Away, ...], BeforeValidator(_several)]
Name = Annotated[str, Field(pattern=r"^[^\s:]+$")]
"""Of a user, group or role, without `user:`."""


class User(Contract):
    """`deputies` decide in a user's place while the user is away, `proxies` at any time."""

    name: str = ""
    email: str = ""
    slack: Annotated[str, Field(pattern=r"^[A-Z0-9]*$", description="the member id, to mention them by")] = ""
    away: Periods = ()
    deputies: tuple[Name, ...] = ()
    proxies: tuple[Name, ...] = ()


class Directory(Contract):
    """All people, or those who were asked for. `groups`: users, and `group:NAME` for another one. `roles`: users,
    `group:NAME`, `starter`, `anyone`; with no roles at all, each is anyone's."""

    users: dict[Name, User] = {}
    groups: dict[Name, tuple[str, ...]] = {}
    roles: dict[Name, tuple[str, ...]] = {}

    def resolve(self, names: Iterable[str], now: datetime) -> People:
        """Who these `user:`, `group:` and `role:` names are, and who acts for them from now on.

        Raises:
            UnknownName: one of them is not there.
        """
        found = {name: self.users_of(name) for name in names}
        users = dict.fromkeys(user for some in found.values() for user in some if user not in (ANYONE, STARTER))
        deputies = {user: tuple(self._deputies(user.removeprefix("user:"), now)) for user in users}
        return People(users=found, deputies={user: some for user, some in deputies.items() if some})

    def users_of(self, name: str) -> tuple[str, ...]:
        """The users that `user:NAME`, `group:NAME` or `role:NAME` stands for, as `user:NAME`; of a role also `starter`
        and `anyone`.

        Raises:
            UnknownName: there is no such one.
        """
        kind, _, short = name.partition(":")
        match kind:
            case "user" if short in self.users:
                return (name,)
            case "group" if short in self.groups:
                return tuple(dict.fromkeys(self._members(short, ())))
            case "role" if not self.roles:
                return (ANYONE,)
            case "role" if short in self.roles:
                return tuple(dict.fromkeys(self._of_role(short)))
        known = sorted(self.users if kind == "user" else self.groups if kind == "group" else self.roles)
        raise UnknownName(f"there is no {kind} {short!r}; there are {', '.join(known) or 'none'}")

    def asked_as(self, user: str, now: datetime) -> tuple[str, ...]:
        """Every name under which a process asks `user:NAME`: their own, their groups, and those of whom they are a
        deputy."""
        deputies = self.resolve((f"user:{name}" for name in self.users), now).deputies
        absent = {of for of, some in deputies.items() if any(deputy.user == user for deputy in some)}
        people = {user, *absent}
        groups = {f"group:{name}" for name in self.groups if people & set(self.users_of(f"group:{name}"))}
        return tuple(sorted(people | groups))

    def user(self, name: str) -> User | None:
        """Of `user:NAME`."""
        return self.users.get(name.removeprefix("user:"))

    def _of_role(self, role: str) -> Iterator[str]:
        for member in self.roles[role]:
            if member in (ANYONE, STARTER):
                yield member
            else:
                yield from self.users_of(member if ":" in member else f"user:{member}")

    def _members(self, group: str, above: tuple[str, ...]) -> Iterator[str]:
        """A circle of groups, which only a server can have, adds nobody."""
        for member in self.groups.get(group, ()):
            kind, _, inner = member.rpartition(":")
            if kind != "group":
                yield f"user:{member.removeprefix('user:')}"
            elif inner not in (group, *above):
                yield from self._members(inner, (*above, group))

    def _deputies(self, user: str, now: datetime) -> Iterator[Deputy]:
        """Each once for each time, those of an absent deputy after it."""
        spec = self.users.get(user, User())
        for proxy in spec.proxies:
            yield Deputy(user=f"user:{proxy}")
        seen: set[tuple[str, Away]] = set()
        open_ones = [(user, Away())]
        for _ in range(MAX_CHAIN):
            following: list[tuple[str, Away]] = []
            for absent, during in open_ones:
                person = self.users.get(absent, User())
                for away, deputy in product(person.away, person.deputies):
                    both = during.both(away)
                    if both is None or (both.until is not None and both.until <= now) or (deputy, both) in seen:
                        continue
                    seen.add((deputy, both))
                    following.append((deputy, both))
                    yield Deputy(user=f"user:{deputy}", since=both.from_, until=both.until, why="away")
            open_ones = following


class PeopleDirectory(Protocol):
    """Where people are kept: a file, a SCIM server. `place`: what a message calls it."""

    @property
    def place(self) -> str: ...

    async def find(self, names: Iterable[str]) -> Directory:
        """What there is to know of these `user:`, `group:` and `role:` names, and of who acts for them; perhaps more.

        Raises:
            SettingsInvalid: it cannot be read, and will not be until somebody mends it.
            DirectoryUnavailable: it cannot be asked now.
        """
        ...

    async def everyone(self) -> Directory:
        """All of it. Raises as `find` does."""
        ...

    async def close(self) -> None: ...
