"""People on a server that speaks SCIM 2.0 (RFC 7643, RFC 7644), asked for what an approval names."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeGuard

import httpx2
from pydantic_core import from_json

from activities.answers import retry_after, short
from contracts.directory import Directory, DirectoryUnavailable, User
from contracts.errors import SettingsInvalid
from contracts.people import ANYONE, STARTER
from contracts.people_settings import PeopleSettings

TIMEOUT = 10.0
"""Seconds for one answer."""
PAGE = 200
MAX_ASKED_AT_ONCE = 10
MAX_CACHED = 10_000

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

Resource = Mapping[str, Any]


class ScimDirectory:
    """Users who are not `active` are not there. Groups are known by their `displayName`, those inside others too."""

    def __init__(self, settings: PeopleSettings, base: str, token: str | None, proxy: str | None) -> None:
        self._settings = settings
        self._base = base
        self._cache: dict[str, tuple[float, Resource | None]] = {}
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
                await self._add_users(found, await self._named("/Users", self._settings.user_name, short_name))
            elif kind == "group":
                for group in await self._named("/Groups", "displayName", short_name):
                    await self._add_group(found, group)
        return found.directory()

    async def everyone(self) -> Directory:
        found = _Found(self._settings)
        await self._add_users(found, [user async for user in self._pages("/Users", {})])
        groups = [group async for group in self._pages("/Groups", {}) if _can_be_named(group.get("displayName"))]
        found.names.update({str(group["id"]): str(group["displayName"]) for group in groups})
        for group in groups:
            found.add_group(group)
        return found.directory()

    def _meant(self, name: str) -> Iterable[tuple[str, str]]:
        """The users and groups to ask for when this name is to be resolved."""
        kind, _, short_name = name.partition(":")
        if kind != "role":
            return [(kind, short_name)]
        members = set(self._settings.roles.get(short_name, ())) - {ANYONE, STARTER}
        return [(kind or "user", inner) for kind, _, inner in (member.rpartition(":") for member in sorted(members))]

    async def _add_users(self, found: "_Found", users: Iterable[Resource]) -> None:
        some = [user for user in users if found.add_user(user)]
        if self._settings.managers_decide:
            managers = {identity for user in some if (identity := _manager(user)) and identity not in found.names}
            for manager in await asyncio.gather(*(self._get(f"/Users/{identity}") for identity in sorted(managers))):
                if manager is not None:
                    found.add_user(manager)

    async def _add_group(self, found: "_Found", group: Resource) -> None:
        """With its members, and the members of the groups inside it."""
        if str(group["id"]) in found.names or not _can_be_named(group.get("displayName")):
            return
        found.names[str(group["id"])] = str(group["displayName"])
        if "members" not in group:
            group = await self._get(f"/Groups/{group['id']}") or group
        members = [(str(member["value"]), _is_group(member)) for member in group.get("members") or ()]
        unknown = [identity for identity, is_group in members if not is_group and identity not in found.names]
        users = await asyncio.gather(*(self._get(f"/Users/{identity}") for identity in unknown))
        await self._add_users(found, [user for user in users if user is not None])
        for identity, is_group in members:
            if is_group and (inner := await self._get(f"/Groups/{identity}")) is not None:
                await self._add_group(found, inner)
        found.add_group(group)

    async def _named(self, path: str, attribute: str, value: str) -> list[Resource]:
        """Those of exactly this name; SCIM compares `userName` without regard to case."""
        params = {"filter": f"{attribute} eq {json.dumps(value, ensure_ascii=False)}"}
        return [each async for each in self._pages(path, params) if each.get(attribute) == value]

    async def _pages(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Resource]:
        start = 1
        while True:
            page = await self._get(path, {**params, "startIndex": str(start), "count": str(PAGE)}) or {}
            resources = page.get("Resources") or []
            for each in resources:
                yield each
            start += len(resources)
            if not resources or start > int(page.get("totalResults", 0)):
                return

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> Resource | None:
        """The answer, perhaps of a moment ago; None when there is no such resource."""
        key = f"{path}?{params}"
        now = time.monotonic()
        if (kept := self._cache.get(key)) is not None and now - kept[0] < self._settings.cache.total_seconds():
            return kept[1]
        async with self._slots:
            answer = await self._ask(path, params)
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[key] = (now, answer)
        return answer

    async def _ask(self, path: str, params: Mapping[str, str] | None) -> Resource | None:
        try:
            answer = await self._client.get(self._base + path, params=params)
        except (httpx2.TransportError, OSError) as error:
            said = str(error) or type(error).__name__
            raise DirectoryUnavailable(f"{self._base} cannot be asked who people are: {said}") from error
        status = answer.status_code
        if status == 404 and path.count("/") == 2:
            return None
        said = f"{self._base}: GET {path}: {status}"
        if status == 429 or status >= 500 or status == 408:
            raise DirectoryUnavailable(f"{said}: {short(answer.text)}", retry_after(answer.headers))
        if status in (401, 403):
            raise SettingsInvalid(f"{said}: it does not let us in; mend the setting people.token")
        if status != 200:
            raise SettingsInvalid(f"{said}: {short(answer.text)}; mend the setting people.scim")
        try:
            found = from_json(answer.content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SettingsInvalid(f"{said}, with what is no SCIM; mend the setting people.scim")
        return found


class _Found:
    """What was found so far. `names`: of users and groups by their id, inactive ones left out."""

    def __init__(self, settings: PeopleSettings) -> None:
        self._settings = settings
        self.names: dict[str, str] = {}
        self._users: dict[str, Resource] = {}
        self._groups: dict[str, Resource] = {}

    def add_user(self, user: Resource) -> bool:
        name = user.get(self._settings.user_name)
        if not _can_be_named(name) or not user.get("active", True):
            return False
        self.names[str(user["id"])] = name
        self._users[name] = user
        return True

    def add_group(self, group: Resource) -> None:
        self._groups[str(group["displayName"])] = group

    def directory(self) -> Directory:
        return Directory(
            users={name: self._user(user) for name, user in self._users.items()},
            groups={name: tuple(self._members(group)) for name, group in self._groups.items()},
            roles=self._settings.roles,
        )

    def _user(self, user: Resource) -> User:
        emails = [mail for mail in user.get("emails") or () if mail.get("value")]
        first = next((mail for mail in emails if mail.get("primary")), emails[0] if emails else {})
        name = user.get("displayName") or (user.get("name") or {}).get("formatted") or ""
        manager = self.names.get(_manager(user) or "") if self._settings.managers_decide else None
        return User(name=name, email=first.get("value", ""), proxies=(manager,) if manager else ())

    def _members(self, group: Resource) -> Iterable[str]:
        for member in group.get("members") or ():
            if (name := self.names.get(str(member["value"]))) is not None:
                yield f"group:{name}" if _is_group(member) else name


def _can_be_named(name: object) -> TypeGuard[str]:
    """Whether a process can say `user:NAME` or `group:NAME`."""
    return isinstance(name, str) and re.fullmatch(r"[^\s:]+", name) is not None


def _manager(user: Resource) -> str | None:
    value = ((user.get(ENTERPRISE) or {}).get("manager") or {}).get("value")
    return None if value is None else str(value)


def _is_group(member: Resource) -> bool:
    return member.get("type") == "Group" or "/Groups/" in str(member.get("$ref", ""))
