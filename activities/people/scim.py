"""People on a server that speaks SCIM 2.0 (RFC 7643, RFC 7644), asked for what an approval names."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeGuard, TypeVar
from urllib.parse import quote, urlencode

import httpx2
from pydantic import BaseModel, ValidationError

from activities.answers import retry_after, short
from activities.people.scim_answers import Listed, R, ScimGroup, ScimUser, problem
from contracts.directory import Directory, DirectoryUnavailable, User
from contracts.errors import SettingsInvalid
from contracts.people import ANYONE, OPERATOR_ROLE, STARTER
from contracts.people_settings import PeopleSettings

TIMEOUT = 10.0
"""Seconds in which a server must go on answering."""
WHOLE_TIMEOUT = 60.0
"""Seconds for one whole answer."""
MAX_ANSWER_BYTES = 20_000_000
PAGE = 200
MAX_LISTED = 100_000
"""Users or groups of one list."""
MAX_ASKED_AT_ONCE = 10
MAX_CACHED = 10_000

A = TypeVar("A", bound=BaseModel)


class ScimDirectory:
    """Users who are not `active` are not there. Groups are known by their `displayName`, those inside others too."""

    def __init__(self, settings: PeopleSettings, base: str, token: str | None, proxy: str | None) -> None:
        self._settings = settings
        self._base = base
        self._cache: dict[str, tuple[float, BaseModel | None]] = {}
        self._slots = asyncio.Semaphore(MAX_ASKED_AT_ONCE)
        headers = {"accept": "application/scim+json, application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._client = httpx2.AsyncClient(
            headers=headers, timeout=TIMEOUT, trust_env=False, follow_redirects=False, proxy=proxy
        )

    @property
    def place(self) -> str:
        return self._base

    async def close(self) -> None:
        await self._client.aclose()

    async def find(self, names: Iterable[str]) -> Directory:
        found = _Found(self._settings)
        wanted = [member for name in names for member in self._meant(name)]
        for kind, short_name in dict.fromkeys(wanted):
            if kind == "user":
                await self._add_users(found, await self._users_named(short_name))
            elif kind == "group":
                for group in await self._groups_named(short_name):
                    await self._add_group(found, group)
            elif kind == "role":
                await self._add_users(found, await self._users_of_role(short_name))
        return found.directory()

    async def everyone(self) -> Directory:
        found = _Found(self._settings)
        await self._add_users(found, [user async for user in self._listed("/Users", Listed[ScimUser])])
        groups = [group async for group in self._listed("/Groups", Listed[ScimGroup])]
        named = [group for group in groups if _can_be_named(group.display_name)]
        found.names.update({group.id: str(group.display_name) for group in named})
        for group in named:
            found.add_group(group)
        return found.directory()

    def _meant(self, name: str) -> Iterable[tuple[str, str]]:
        """The users, groups and roles to ask for when this name is to be resolved."""
        kind, _, short_name = name.partition(":")
        if kind != "role" or short_name not in self._settings.roles:
            return [(kind, short_name)]
        members = set(self._settings.roles[short_name]) - {ANYONE, STARTER}
        return [(kind or "user", inner) for kind, _, inner in (member.rpartition(":") for member in sorted(members))]

    async def _add_users(self, found: "_Found", users: Iterable[ScimUser]) -> None:
        some = [user for user in users if found.add_user(user)]
        if self._settings.managers_decide:
            managers = {user.manager for user in some if user.manager and user.manager not in found.names}
            for manager in await asyncio.gather(*(self._user(identity) for identity in sorted(managers))):
                if manager is not None:
                    found.add_user(manager)

    async def _add_group(self, found: "_Found", group: ScimGroup) -> None:
        """With its members, and the members of the groups inside it."""
        if group.id in found.names or not _can_be_named(group.display_name):
            return
        found.names[group.id] = group.display_name
        if group.members is None:
            group = await self._group(group.id) or group
        members = group.members or ()
        unknown = [member.value for member in members if not member.is_group and member.value not in found.names]
        users = await asyncio.gather(*(self._user(identity) for identity in unknown))
        await self._add_users(found, [user for user in users if user is not None])
        for member in members:
            if member.is_group and (inner := await self._group(member.value)) is not None:
                await self._add_group(found, inner)
        found.add_group(group)

    async def _users_named(self, name: str) -> list[ScimUser]:
        """Those of exactly this name; SCIM compares `userName` without regard to case."""
        attribute = self._settings.user_name
        users = self._listed("/Users", Listed[ScimUser], _equals(attribute, name))
        return [user async for user in users if user.named(attribute) == name]

    async def _groups_named(self, name: str) -> list[ScimGroup]:
        groups = self._listed("/Groups", Listed[ScimGroup], _equals("displayName", name))
        return [group async for group in groups if group.display_name == name]

    async def _users_of_role(self, role: str) -> list[ScimUser]:
        users = self._listed("/Users", Listed[ScimUser], _equals("roles.value", role))
        return [user async for user in users if user.has_role(role)]

    async def _user(self, identity: str) -> ScimUser | None:
        return await self._get(f"/Users/{quote(identity, safe='')}", ScimUser)

    async def _group(self, identity: str) -> ScimGroup | None:
        return await self._get(f"/Groups/{quote(identity, safe='')}", ScimGroup)

    async def _listed(self, path: str, model: type[Listed[R]], filter_: str | None = None) -> AsyncIterator[R]:
        """All of a list, page after page."""
        seen: set[str] = set()
        asked = {} if filter_ is None else {"filter": filter_}
        start = 1
        while True:
            page = await self._get(path, model, {**asked, "startIndex": str(start), "count": str(PAGE)})
            resources = (page.resources if page is not None else None) or ()
            total = page.total if page is not None else 0
            if start <= total and seen.issuperset(each.id for each in resources):
                what = "what it sent before" if resources else "nothing"
                raise self._malformed(path, f"there are {total}, and from {start} on it sends {what}")
            seen.update(each.id for each in resources)
            for each in resources:
                yield each
            start += len(resources)
            if start > total:
                return
            if start > MAX_LISTED:
                raise self._malformed(path, f"there are more than {MAX_LISTED}, which is more than is read")

    async def _get(self, path: str, model: type[A], params: Mapping[str, str] | None = None) -> A | None:
        """The answer, perhaps of a moment ago; None when there is no such resource."""
        key = f"{path}?{urlencode(params)}" if params else path
        now = time.monotonic()
        kept = self._cache.get(key)
        if kept is not None and now - kept[0] < self._settings.cache.total_seconds():
            return kept[1] if isinstance(kept[1], model) else None
        async with self._slots:
            content = await self._ask(key)
        try:
            answer = None if content is None else model.model_validate_json(content)
        except ValidationError as error:
            raise self._malformed(key, problem(error)) from error
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[key] = (now, answer)
        return answer

    async def _ask(self, path: str) -> bytes | None:
        """The body of a good answer; None when there is no such resource."""
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT), self._client.stream("GET", self._base + path) as answer:
                content = await self._body(path, answer)
        except (httpx2.RequestError, OSError) as error:
            said = str(error) or type(error).__name__
            raise DirectoryUnavailable(f"{self._base} cannot be asked who people are: {said}") from error
        status, text = answer.status_code, content.decode(errors="replace")
        if status == 200:
            return content
        if status == 404 and path.count("/") == 2:
            return None
        said = f"{self._base}: GET {path}: {status}"
        if status == 429 or status >= 500 or status == 408:
            raise DirectoryUnavailable(f"{said}: {short(text)}", retry_after(answer.headers))
        if status in (401, 403):
            raise SettingsInvalid(f"{said}: it does not let us in; mend the setting people.token")
        instead = "; or name who has the role in people.roles" if "roles.value" in path else ""
        raise SettingsInvalid(f"{said}: {short(text)}; mend the setting people.scim{instead}")

    async def _body(self, path: str, answer: httpx2.Response) -> bytes:
        content = bytearray()
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > MAX_ANSWER_BYTES:
                raise self._malformed(path, f"it has more than {MAX_ANSWER_BYTES} bytes")
        return bytes(content)

    def _malformed(self, path: str, what: str) -> SettingsInvalid:
        return SettingsInvalid(
            f"{self._base}: GET {path}: the answer is not what SCIM has (RFC 7644): {what}; mend it on that server, or "
            "the setting people.scim"
        )


class _Found:
    """What was found so far. `names`: of users and groups by their id, inactive ones left out."""

    def __init__(self, settings: PeopleSettings) -> None:
        self._settings = settings
        self.names: dict[str, str] = {}
        self._users: dict[str, ScimUser] = {}
        self._groups: dict[str, ScimGroup] = {}

    def add_user(self, user: ScimUser) -> bool:
        name = user.named(self._settings.user_name)
        if not _can_be_named(name) or user.active is False:
            return False
        self.names[user.id] = name
        self._users[name] = user
        return True

    def add_group(self, group: ScimGroup) -> None:
        self._groups[str(group.display_name)] = group

    def directory(self) -> Directory:
        return Directory(
            users={name: self._user(user) for name, user in self._users.items()},
            groups={name: tuple(self._members(group)) for name, group in self._groups.items()},
            roles={**self._roles(), **self._settings.roles},
        )

    def _roles(self) -> dict[str, tuple[str, ...]]:
        """By what users say of themselves. There is an operator in any case, be it nobody: no role is anyone's."""
        holders: dict[str, list[str]] = {OPERATOR_ROLE.removeprefix("role:"): []}
        for name, user in self._users.items():
            for role in user.roles or ():
                if _can_be_named(role.value):
                    holders.setdefault(role.value, []).append(name)
        return {role: tuple(users) for role, users in holders.items()}

    def _user(self, user: ScimUser) -> User:
        manager = self.names.get(user.manager or "") if self._settings.managers_decide else None
        return User(name=user.shown_name, email=user.email, proxies=(manager,) if manager else ())

    def _members(self, group: ScimGroup) -> Iterable[str]:
        for member in group.members or ():
            if (name := self.names.get(member.value)) is not None:
                yield f"group:{name}" if member.is_group else name


def _can_be_named(name: object) -> TypeGuard[str]:
    """Whether a process can say `user:NAME` or `group:NAME`."""
    return isinstance(name, str) and re.fullmatch(r"[^\s:]+", name) is not None


def _equals(attribute: str, value: str) -> str:
    """A filter (RFC 7644, 3.4.2.2)."""
    return f"{attribute} eq {json.dumps(value, ensure_ascii=False)}"
