"""A SCIM 2.0 server on 127.0.0.1: users, groups, filters, pages (RFC 7644), and what goes wrong with one."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.service import Answer, Request, Service, open_service

TOKEN = "scim-canary-7311"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
FILTER = re.compile(r'([\w.]+) eq ("(?:[^"\\]|\\.)*")')


@dataclass
class Idp:
    """`page`: resources in an answer at most. `trouble`: answers instead of the next ones."""

    service: Service
    users: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    page: int = 2
    trouble: list[Answer] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.service.base}/scim/v2"

    def user(self, name: str, manager: str | None = None, **more: Any) -> str:
        made = {"id": str(uuid.uuid4()), "userName": name, "emails": [{"value": f"{name}@example.com"}], **more}
        if manager is not None:
            made[ENTERPRISE] = {"manager": {"value": manager}}
        self.users.append(made)
        return str(made["id"])

    def group(self, name: str, *members: str, groups: tuple[str, ...] = ()) -> str:
        inside = [{"value": identity, "type": "User"} for identity in members]
        inside += [{"value": identity, "$ref": f"{self.base}/Groups/{identity}"} for identity in groups]
        made = {"id": str(uuid.uuid4()), "displayName": name, "members": inside}
        self.groups.append(made)
        return str(made["id"])

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer({"status": "401"}, status=401)
        if self.trouble:
            return self.trouble.pop(0)
        parts = urlsplit(request.path)
        kind, _, identity = parts.path.removeprefix("/scim/v2/").partition("/")
        resources = {"Users": self.users, "Groups": self.groups}[kind]
        if identity:
            found = [each for each in resources if each["id"] == identity]
            return Answer(found[0]) if found else Answer({"status": "404"}, status=404)
        return self._page(resources, {key: value[0] for key, value in parse_qs(parts.query).items()})

    def _page(self, resources: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        if "filter" in query:
            said = FILTER.fullmatch(query["filter"])
            if said is None:
                return Answer({"scimType": "invalidFilter"}, status=400)
            attribute, value = said[1], json.loads(said[2])
            resources = [each for each in resources if value.lower() in map(str.lower, _values(each, attribute))]
        start = int(query["startIndex"]) - 1
        page = resources[start : start + min(self.page, int(query["count"]))]
        return Answer(
            {"totalResults": len(resources), "Resources": page}, headers={"content-type": "application/scim+json"}
        )


def _values(resource: dict[str, Any], attribute: str) -> list[str]:
    """Of `userName`, of `roles.value`."""
    name, _, inner = attribute.partition(".")
    return [str(each[inner]) for each in resource.get(name, ())] if inner else [str(resource.get(name))]


@contextmanager
def open_idp() -> Iterator[Idp]:
    with open_service() as service:
        idp = Idp(service)
        service.answer = idp.answer
        yield idp
