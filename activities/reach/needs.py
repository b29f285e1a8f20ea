"""What a store of the settings needs before it can be opened."""

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

from contracts.errors import SettingsInvalid
from contracts.secrets import read_secret
from contracts.stores import ConversationSettings, RecordSettings, StoreKind

_PACKAGES: dict[StoreKind, tuple[str, str]] = {
    "postgresql": ("psycopg", "postgres"),
    "redis": ("redis", "redis"),
    "s3": ("aioboto3", "s3"),
}
"""The package that a store needs, and the dependency group it is in."""


def require(kind: StoreKind, setting: str = "conversations.store") -> None:
    """Raises:
    SettingsInvalid: the package of the store that the setting names is not installed.
    """
    package, group = _PACKAGES.get(kind, ("sqlite3", ""))
    if find_spec(package) is None:
        raise SettingsInvalid(
            f"{setting} is {kind}, and the package {package} is not installed; `make setup WITH={group}` installs it"
        )


def password_of(
    settings: ConversationSettings | RecordSettings, environment: Mapping[str, str], section: str = "conversations"
) -> str | None:
    """Raises:
    SettingsInvalid: its variable is not set.
    """
    return read_secret(settings.password, environment, f"{section}.password") if settings.password else None


def bucket_of(settings: ConversationSettings) -> tuple[str, str]:
    """Bucket and prefix of a store in S3."""
    parts = urlsplit(settings.store)
    return parts.netloc, parts.path.strip("/")
