"""The directory of people that the settings name."""

from collections.abc import Mapping

from activities.people.file import DirectoryFile
from contracts.directory import PeopleDirectory
from contracts.people_settings import PeopleSettings
from contracts.secrets import read_secret


def open_directory(settings: PeopleSettings, environment: Mapping[str, str], proxy: str | None) -> PeopleDirectory:
    """`proxy`: through which servers outside are asked.

    Raises:
        SettingsInvalid: the variable with the token is not set.
    """
    if settings.scim is None:
        assert settings.file is not None  # noqa: S101 - the settings have one of both
        return DirectoryFile(settings.file)
    from activities.people.scim import ScimDirectory

    token = read_secret(settings.token, environment, "people.token") if settings.token else None
    return ScimDirectory(settings, settings.scim, token, proxy)
