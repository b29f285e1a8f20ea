"""The setting `people`: which directory says who people are."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from contracts.base import Contract, Duration
from contracts.secrets import SecretRef


class PeopleSettings(Contract):
    """A file, or a server that speaks SCIM 2.0. `people = "FILE"` is short for `people = {file = "FILE"}`."""

    file: Path | None = None
    scim: str | None = Field(
        default=None, pattern=r"^https?://[^/\s@]+", description="the base of its paths, which `/Users` follows"
    )
    token: SecretRef | None = Field(default=None, description="of scim: the bearer token, env:NAME")
    user_name: Literal["userName", "externalId", "nickName"] = Field(
        default="userName", description="of scim: the attribute that NAME in user:NAME is"
    )
    roles: dict[str, tuple[str, ...]] = Field(
        default={},
        description="of scim: user:NAME, group:NAME, starter or anyone by role; other roles are whose the server says",
    )
    managers_decide: bool = Field(
        default=False, description="of scim: everybody's manager may decide in their place at any time"
    )
    cache: Duration = Field(default=timedelta(seconds=30), description="of scim: how long an answer is good for")

    @field_validator("file", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().resolve()

    @field_validator("scim", mode="after")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return value and value.rstrip("/")

    @field_validator("cache")
    @classmethod
    def _short(cls, value: timedelta) -> timedelta:
        if not timedelta(0) <= value <= timedelta(hours=1):
            raise ValueError("must be from 0s to 1h")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (self.scim is None):
            raise ValueError('write either a file (people = "people.yaml") or people.scim')
        idle = self.model_fields_set & {"token", "user_name", "roles", "managers_decide", "cache"}
        if self.file is not None and idle:
            raise ValueError(f"{', '.join(sorted(idle))} goes with people.scim, and people is a file")
        return self
