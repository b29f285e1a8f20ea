"""Settings: `surefoot.toml` beside the project or at `SUREFOOT_CONFIG`, overridden by `SUREFOOT_*` variables."""

import errno
import getpass
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contracts.base import Contract, Duration
from contracts.channels import CHANNEL_KINDS, Channel
from contracts.egress import Egress
from contracts.errors import SettingsInvalid
from contracts.faults import Faults
from contracts.names import TASK_QUEUE
from contracts.people_settings import PeopleSettings
from contracts.queues import Queue, QueueSettings
from contracts.secrets import SecretRef
from contracts.settings import ModelAlias, ModelApi
from contracts.stores import ConversationSettings, RecordSettings

PROJECT = Path(__file__).parents[1]
CONFIG_VARIABLE = "SUREFOOT_CONFIG"
NEARLY = 0.92
"""Of 1: how alike a variable and a setting's are, by `difflib`, when one is taken for the other misspelt."""


def config_file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or PROJECT / "surefoot.toml")


class StorageSettings(Contract):
    """Where payloads lie that are too large for Temporal: files in a folder, or objects in a bucket."""

    driver: Literal["local", "s3", "gcs"] = "local"
    folder: Path | None = Field(default=None, description="of driver local; by default `payloads` in the home folder")
    bucket: str | None = Field(default=None, min_length=3, max_length=222, description="of s3 and gcs; it must exist")
    prefix: str | None = Field(
        default=None, max_length=200, pattern=r"^[\w.-]+(/[\w.-]+)*$", description="of the bucket's keys, as a folder"
    )
    threshold: int = Field(default=64_000, ge=1_000, le=1_500_000, description="bytes from which one is large")

    @field_validator("folder", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().resolve()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.driver != "local" and self.bucket is None:
            raise ValueError(f"driver {self.driver} needs a bucket; set storage.bucket or SUREFOOT_STORAGE__BUCKET")
        idle = ["folder"] if self.driver != "local" else ["bucket", "prefix"]
        if unused := [name for name in idle if getattr(self, name)]:
            fits = "local" if unused == ["folder"] else "s3 or gcs"
            raise ValueError(f"{' and '.join(unused)} is for driver {fits}, and the driver is {self.driver}")
        return self


class EncryptionSettings(Contract):
    """Keys of payloads and conversations, by reference, and the endpoint that shows people what is encrypted."""

    keys: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")], SecretRef] = Field(
        default={}, description="by id: env:NAME, which holds 32 random bytes in base64"
    )
    active: str | None = Field(default=None, description="the id of the key that encrypts; the others only decrypt")
    codec_port: int = Field(default=8234, ge=0, le=65_535, description="of `starter.py codec`")
    codec_token: SecretRef | None = Field(default=None, description="what callers of `starter.py codec` must carry")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.active is not None and self.active not in self.keys:
            raise ValueError(f"active is {self.active!r}, and the keys are {', '.join(self.keys) or 'none'}")
        if self.active is None and len(self.keys) > 1:
            raise ValueError(f"active must say which of {', '.join(self.keys)} encrypts")
        return self

    @property
    def active_key(self) -> str | None:
        return self.active or next(iter(self.keys), None)


class LinkSettings(Contract):
    """Links by which people decide: what they begin with, what seals them, how long they last."""

    url: str | None = Field(
        default=None, pattern=r"^https?://[^/\s?#]+(/[^\s?#]*)?$", description="by default this machine, at `port`"
    )
    port: int = Field(default=8235, ge=0, le=65_535, description="of `starter.py serve`")
    keys: tuple[SecretRef, ...] = Field(
        default=(), description="env:NAME, which holds 32 random bytes in base64; the first seals, each of them opens"
    )
    expires: Duration = Field(default=timedelta(days=7), description="the longest that a link lasts")

    @field_validator("expires")
    @classmethod
    def _lasts(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("must be more than 0s")
        return value

    @property
    def base(self) -> str:
        return self.url.rstrip("/") if self.url else f"http://127.0.0.1:{self.port}"


class Settings(BaseSettings):
    """Everything has a working default. Paths in variables are relative to the working directory."""

    model_config = SettingsConfigDict(
        env_prefix="SUREFOOT_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    home: Path = PROJECT / ".surefoot"
    """Server file, records, conversations, sample business systems."""
    processes: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders with processes, besides the project's own; in a variable separated by `:`."""
    people: Annotated[PeopleSettings, NoDecode] = PeopleSettings(file=PROJECT / "processes" / "people.yaml")
    """A directory of people: a YAML file by its path, or a SCIM server."""
    notices: tuple[Channel, ...] = ()
    """The channels by which people are told."""
    notice_templates: Path | None = None
    """A folder with templates that go before our own."""
    task_queue: Queue = TASK_QUEUE
    queues: QueueSettings = QueueSettings()
    """Queues of their own for model calls and tools, and slots."""
    deployment: str | None = Field(default=None, pattern=r"^[\w/-]{1,200}$")
    """The deployment that workers are releases of; named, they use Temporal's Worker Versioning (docs/releases.md)."""
    build_id: str | None = Field(default=None, pattern=r"^[\w.-]{1,100}$")
    """Which release a worker is; by default one made of the source."""
    health_port: int | None = Field(default=None, ge=1, le=65_535)
    """Where a worker answers `/livez` and `/readyz`, on all interfaces; off by default."""
    grace: Duration = timedelta(seconds=20)
    """How long what is at work may go on after a worker was told to stop. A call that does not end in that time is made
    again elsewhere where that is safe, else its step asks an operator."""
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    """Where a worker answers `/metrics` for Prometheus, on all interfaces; off by default."""
    user: str | None = None
    models: dict[str, ModelAlias] = {}
    model_api: ModelApi | None = None
    log: Literal["pretty", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    ui_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where Temporal Web is, for links; known by itself for the embedded server and Temporal Cloud."""
    storage: StorageSettings = StorageSettings()
    egress: Egress = Egress()
    """Where HTTP tools and MCP servers may be."""
    conversations: ConversationSettings = ConversationSettings()
    records: RecordSettings = RecordSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    links: LinkSettings = LinkSettings()
    faults: Faults | None = None
    """Made on purpose, by a staging worker; never by default."""

    @field_validator("processes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(Path(part) for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("people", mode="before")
    @classmethod
    def _file(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str | Path) else value

    @field_validator("home", "notice_templates", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().resolve()

    @field_validator("notices", mode="after")
    @classmethod
    def _differ(cls, value: tuple[Channel, ...]) -> tuple[Channel, ...]:
        names = [channel.name for channel in value]
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two channels are called {doubles[0]}; a message is told apart by its channel's name")
        return value

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders with processes, the project's first."""
        return (PROJECT / "processes", *self.processes)

    @property
    def payloads(self) -> Path:
        """Where large payloads lie as files."""
        return self.storage.folder or self.home / "payloads"

    @property
    def actor(self) -> str:
        """Who speaks when nobody says: `SUREFOOT_USER`, else the login name; as `user:NAME`."""
        name = self.user or _login()
        return name if ":" in name else f"user:{name}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


def ready_home(home: Path) -> None:
    """Make the home folder, where there is none yet.

    Raises:
        SettingsInvalid: nothing can be kept there.
    """
    with in_home(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # runs hold what is nobody else's business
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def in_home(home: Path) -> Iterator[None]:
    """Raises:
    SettingsInvalid: what is done in the home folder cannot be done there.
    """
    try:
        yield
    except OSError as error:
        raise SettingsInvalid(
            f"{home}: {error.strerror}; state is kept there; set SUREFOOT_HOME to a folder you can write to"
        ) from error


def load_settings() -> Settings:
    """Raises:
    SettingsInvalid: every setting that is wrong, with where it comes from.
    """
    file = config_file()
    if CONFIG_VARIABLE in os.environ and not file.is_file():
        raise SettingsInvalid(f"{CONFIG_VARIABLE}={file}: there is no such file; mend the path or unset the variable")
    if misspelt := list(_misspelt()):
        raise SettingsInvalid("\n".join(misspelt))
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid("\n".join(_explain(detail, file) for detail in error.errors())) from error
    except ValueError as error:  # of tomllib and of JSON in a variable
        raise SettingsInvalid(f"the settings cannot be read ({file}, SUREFOOT_*): {error}") from error


def _misspelt() -> Iterator[str]:
    """Variables that are nearly a setting's. Of others with our prefix we know nothing: secrets have names of their
    own, and Kubernetes names services so."""
    known = {f"SUREFOOT_{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE}
    for name in sorted(os.environ):
        setting, *inside = name.split("__")
        if setting.startswith("SUREFOOT_") and setting not in known:
            for meant in get_close_matches(setting, known, 1, NEARLY):
                right = "__".join([meant, *inside])
                yield f"{name}: there is no such setting; mend it to {right}, or give it another name"


_SECTIONS: dict[str, type[Contract]] = {
    "storage": StorageSettings,
    "conversations": ConversationSettings,
    "records": RecordSettings,
    "encryption": EncryptionSettings,
    "faults": Faults,
    "people": PeopleSettings,
    "links": LinkSettings,
    "queues": QueueSettings,
}
_UNSHOWN = {"password", "keys", "codec_token", "key_env", "token", "secret"}
"""Settings that refer to secrets. Somebody may have pasted the secret itself."""
_PASSWORD = re.compile(r"(?P<user>://[^/\s:@]*:)[^/\s@]+(?=@)|(?<=password=)[^&\s'\"]+")


def _explain(detail: Any, file: Path) -> str:
    path = [str(part) for part in detail["loc"]]
    variables = (f"SUREFOOT_{'__'.join(path[:depth]).upper()}" for depth in range(len(path), 0, -1))
    place = next((name for name in variables if name in os.environ), f"{file}: {'.'.join(path)}")
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no such setting; there are {', '.join(_fields_beside(path))}"
    said = detail["msg"].removeprefix("Value error, ")
    # What stands where a reference to a secret belongs may be the secret; a whole table is no value to repeat.
    is_secret = bool(_UNSHOWN.intersection(path)) or (path[0] == "notices" and path[-1] == "url")
    if is_secret or isinstance(detail["input"], dict):
        return f"{place}: {said}" + ("; write env:NAME" if detail["type"] == "string_pattern_mismatch" else "")
    shown = _PASSWORD.sub(lambda found: f"{found['user'] or ''}...", repr(detail["input"]))
    return f"{place}: {shown}: {said}"


def _fields_beside(path: list[str]) -> Iterable[str]:
    if path[0] == "models" and len(path) > 2:
        return ModelAlias.model_fields
    if path[0] == "notices" and len(path) > 3:
        return CHANNEL_KINDS[path[2]].model_fields
    section = _SECTIONS.get(path[0]) if len(path) > 1 else None
    return section.model_fields if section else Settings.model_fields


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        return "somebody"
