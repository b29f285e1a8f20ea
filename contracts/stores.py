"""Settings of the stores that activities keep things in."""

from datetime import timedelta
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from contracts.base import Contract, Duration
from contracts.secrets import SecretRef

StoreKind = Literal["sqlite", "postgresql", "redis", "s3"]

_FORMS = "sqlite, postgresql://USER@HOST/DATABASE, redis://HOST:6379/0 (rediss:// with TLS) or s3://BUCKET/PREFIX"
_KINDS: dict[str, StoreKind] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "redis": "redis",
    "rediss": "redis",
    "s3": "s3",
}

_RECORD_FORMS = "sqlite, or postgresql://USER@HOST/DATABASE"

SHORTEST = timedelta(hours=1)


class ConversationSettings(Contract):
    """Where conversations lie between model calls."""

    store: str = Field(default="sqlite", description=_FORMS)
    password: SecretRef | None = Field(default=None, description="of postgresql and redis: env:NAME")
    retention: Duration | None = Field(
        default=None, description="after the last use; by default the namespace's retention and 30 days"
    )

    @field_validator("store")
    @classmethod
    def _is_store(cls, value: str) -> str:
        if value == "sqlite":
            return value
        parts = urlsplit(value)
        if parts.scheme not in _KINDS:
            raise ValueError(f"is no store; write {_FORMS}")
        if parts.password or "password=" in parts.query:
            raise ValueError('holds a password; take it out and set conversations.password = "env:NAME" instead')
        if not parts.netloc and parts.scheme != "postgresql":
            raise ValueError(f"names no host or bucket; write {_FORMS}")
        return value

    @field_validator("retention")
    @classmethod
    def _is_long_enough(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < SHORTEST:
            raise ValueError("is shorter than an hour; conversations would be forgotten while they are held")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.password is not None and self.kind not in ("postgresql", "redis"):
            raise ValueError(f"password is for postgresql and redis, and the store is {self.kind}")
        return self

    @property
    def kind(self) -> StoreKind:
        return "sqlite" if self.store == "sqlite" else _KINDS[urlsplit(self.store).scheme]


class RecordSettings(Contract):
    """Where the records of runs lie, for as long as their owner wants."""

    url: str = Field(default="sqlite", description=_RECORD_FORMS)
    password: SecretRef | None = Field(default=None, description="of postgresql: env:NAME")

    @field_validator("url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        parts = urlsplit(value)
        if value != "sqlite" and _KINDS.get(parts.scheme) != "postgresql":
            raise ValueError(f"is no database for records; write {_RECORD_FORMS}")
        if parts.password or "password=" in parts.query:
            raise ValueError('holds a password; take it out and set records.password = "env:NAME" instead')
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.password is not None and self.kind != "postgresql":
            raise ValueError(f"password is for postgresql, and the database is {self.kind}")
        return self

    @property
    def kind(self) -> StoreKind:
        return "sqlite" if self.url == "sqlite" else "postgresql"
