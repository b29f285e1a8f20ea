"""What is read of a SCIM server's answers (RFC 7643, RFC 7644); whatever else is in them is not looked at."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.answers import short


class _Read(BaseModel):
    """An attribute that is null, or left out, has no value (RFC 7643, 2.5)."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class _Value(_Read):
    value: str | None = None
    primary: bool | None = None


class _Name(_Read):
    formatted: str | None = None


class _Enterprise(_Read):
    manager: _Value | None = None


class Resource(_Read):
    id: str = Field(min_length=1)


class ScimUser(Resource):
    user_name: str | None = Field(default=None, alias="userName")
    external_id: str | None = Field(default=None, alias="externalId")
    nick_name: str | None = Field(default=None, alias="nickName")
    display_name: str | None = Field(default=None, alias="displayName")
    full_name: _Name | None = Field(default=None, alias="name")
    active: bool | None = None
    emails: tuple[_Value, ...] | None = None
    roles: tuple[_Value, ...] | None = None
    enterprise: _Enterprise | None = Field(
        default=None, alias="urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    )

    def named(self, attribute: str) -> str | None:
        """By the attribute that the settings say."""
        return {"userName": self.user_name, "externalId": self.external_id, "nickName": self.nick_name}[attribute]

    @property
    def shown_name(self) -> str:
        return self.display_name or (self.full_name and self.full_name.formatted) or ""

    @property
    def email(self) -> str:
        """The primary one, else the first."""
        known = [each for each in self.emails or () if each.value]
        return next((each.value or "" for each in (*(one for one in known if one.primary), *known)), "")

    @property
    def manager(self) -> str | None:
        """Their id."""
        return self.enterprise.manager.value if self.enterprise and self.enterprise.manager else None

    def has_role(self, role: str) -> bool:
        return any(each.value == role for each in self.roles or ())


class Member(_Read):
    value: str
    type: str | None = None
    ref: str | None = Field(default=None, alias="$ref")

    @property
    def is_group(self) -> bool:
        return self.type == "Group" or "/Groups/" in (self.ref or "")


class ScimGroup(Resource):
    """`members`: None when the server left them out, as it may of a list."""

    display_name: str | None = Field(default=None, alias="displayName")
    members: tuple[Member, ...] | None = None


R = TypeVar("R", bound=Resource)


class Listed(_Read, Generic[R]):
    """A page of a list."""

    total: int = Field(alias="totalResults", ge=0)
    resources: tuple[R, ...] | None = Field(default=None, alias="Resources")


def problem(error: ValidationError) -> str:
    """The first thing that is wrong in an answer: its place, what is wrong, the value."""
    first = error.errors(include_url=False)[0]
    return f"{_place(first['loc']) or 'the whole of it'}: {first['msg']}, not {_shown(first['input'], first['type'])}"


def _place(loc: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in loc)


def _shown(value: Any, kind: str) -> str:
    return "nothing" if kind == "missing" else short(repr(value))
