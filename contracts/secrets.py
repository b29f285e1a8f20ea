"""Secrets in settings are references: the setting says where the secret is, never what it is."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from contracts.errors import SettingsInvalid

SecretRef = Annotated[
    str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$", description="env:NAME, the variable that holds the secret")
]


def variable_of(reference: str) -> str:
    """The variable that `env:NAME` names."""
    return reference.removeprefix("env:")


def read_secret(reference: str, environment: Mapping[str, str], setting: str) -> str:
    """The secret that a setting refers to.

    Raises:
        SettingsInvalid: its variable is not set.
    """
    value = environment.get(variable_of(reference))
    if not value:
        raise SettingsInvalid(f"{setting}: the variable {variable_of(reference)} is not set; set it to the secret")
    return value
