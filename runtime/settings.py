"""Settings: `surefoot.toml` beside the project or at `SUREFOOT_CONFIG`, overridden by `SUREFOOT_*` variables."""

import getpass
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contracts.errors import SettingsInvalid
from contracts.names import TASK_QUEUE
from contracts.settings import ModelAlias, ModelApi

PROJECT = Path(__file__).parents[1]
CONFIG_VARIABLE = "SUREFOOT_CONFIG"


def config_file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or PROJECT / "surefoot.toml")


class Settings(BaseSettings):
    """Everything has a working default. Paths in variables are relative to the working directory."""

    model_config = SettingsConfigDict(env_prefix="SUREFOOT_", extra="forbid", frozen=True, env_ignore_empty=True)

    home: Path = PROJECT / ".surefoot"
    """Server file, records, conversations, sample business systems."""
    processes: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders with processes, besides the project's own; in a variable separated by `:`."""
    people: Path = PROJECT / "processes" / "people.yaml"
    task_queue: str = Field(default=TASK_QUEUE, min_length=1)
    user: str | None = None
    models: dict[str, ModelAlias] = {}
    model_api: ModelApi | None = None
    log: Literal["pretty", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    ui_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where Temporal Web is, for links; known by itself for the embedded server and Temporal Cloud."""

    @field_validator("processes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(Path(part) for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("home", "people", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders with processes, the project's first."""
        return (PROJECT / "processes", *self.processes)

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


def load_settings() -> Settings:
    """Raises:
    SettingsInvalid: every setting that is wrong, with where it comes from.
    """
    file = config_file()
    if CONFIG_VARIABLE in os.environ and not file.is_file():
        raise SettingsInvalid(f"{CONFIG_VARIABLE}={file}: there is no such file; mend the path or unset the variable")
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid("\n".join(_explain(detail, file) for detail in error.errors())) from error
    except ValueError as error:  # of tomllib and of JSON in a variable
        raise SettingsInvalid(f"the settings cannot be read ({file}, SUREFOOT_*): {error}") from error


def _explain(detail: Any, file: Path) -> str:
    path = [str(part) for part in detail["loc"]]
    variable = f"SUREFOOT_{path[0].upper()}" if path else ""
    place = variable if variable in os.environ else f"{file}: {'.'.join(path)}"
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no such setting; there are {', '.join(Settings.model_fields)}"
    return f"{place}: {detail['input']!r}: {detail['msg']}"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        return "somebody"
