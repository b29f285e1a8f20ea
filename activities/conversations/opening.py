"""From settings to a store."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from activities.conversations.encrypted import Cipher, EncryptedConversations
from activities.conversations.sqlite import SqliteConversations
from activities.conversations.store import OpenedStore
from activities.reach.needs import bucket_of, password_of, require
from contracts.stores import ConversationSettings

FILE = "conversations.db"


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
    require(settings.kind)
    match settings.kind:
        case "postgresql":
            from activities.conversations.postgres import PostgresConversations

            return PostgresConversations(settings.store, password_of(settings, environment), retention)
        case "redis":
            from activities.conversations.redis import RedisConversations

            return RedisConversations(settings.store, password_of(settings, environment), retention)
        case "s3":
            from activities.conversations.s3 import S3Conversations

            return S3Conversations(*bucket_of(settings))
        case "sqlite":
            return SqliteConversations(home / FILE, retention)
