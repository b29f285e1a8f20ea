"""From settings to a store."""

from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from activities.conversations.encrypted import Cipher, EncryptedConversations
from activities.conversations.sqlite import SqliteConversations
from activities.conversations.store import OpenedStore
from contracts.errors import SettingsInvalid
from contracts.secrets import read_secret
from contracts.stores import ConversationSettings, StoreKind

FILE = "conversations.db"

_PACKAGES: dict[StoreKind, tuple[str, str]] = {
    "postgresql": ("psycopg", "postgres"),
    "redis": ("redis", "redis"),
    "s3": ("aioboto3", "s3"),
}
"""The package that a store needs, and the dependency group it is in."""


def open_conversations(
    settings: ConversationSettings,
    home: Path,
    retention: timedelta,
    environment: Mapping[str, str],
    cipher: Cipher | None = None,
) -> OpenedStore:
    """The store that is set, encrypting when there is a cipher. `retention`: when the settings do not say.

    Raises:
        SettingsInvalid: its package is not installed, or its password's variable is not set.
    """
    store = _open(settings, home, settings.retention or retention, environment)
    return EncryptedConversations(store, cipher) if cipher else store


def _open(
    settings: ConversationSettings, home: Path, retention: timedelta, environment: Mapping[str, str]
) -> OpenedStore:
    _require(settings.kind)
    password = read_secret(settings.password, environment, "conversations.password") if settings.password else None
    match settings.kind:
        case "postgresql":
            from activities.conversations.postgres import PostgresConversations

            return PostgresConversations(settings.store, password, retention)
        case "redis":
            from activities.conversations.redis import RedisConversations

            return RedisConversations(settings.store, password, retention)
        case "s3":
            from activities.conversations.s3 import S3Conversations

            parts = urlsplit(settings.store)
            return S3Conversations(parts.netloc, parts.path.strip("/"))
        case "sqlite":
            return SqliteConversations(home / FILE, retention)


def _require(kind: StoreKind) -> None:
    package, group = _PACKAGES.get(kind, ("sqlite3", ""))
    if find_spec(package) is None:
        raise SettingsInvalid(
            f"conversations.store is {kind}, and the package {package} is not installed; "
            f"`make setup WITH={group}` installs it"
        )
