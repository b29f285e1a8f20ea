"""From settings to the records database."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url

from activities.conversations.encrypted import Cipher
from activities.reach.needs import password_of, require
from activities.records.database import Database
from activities.records.store import Records
from contracts.stores import RecordSettings

FILE = "records.db"


def open_records(
    settings: RecordSettings, home: Path, environment: Mapping[str, str], cipher: Cipher | None = None
) -> Records:
    """The database that is set, encrypting when there is a cipher. Nothing is opened before the first call.

    Raises:
        SettingsInvalid: its package is not installed, or its password's variable is not set.
    """
    require(settings.kind, "records.url")
    return Records(Database(_url(settings, home, environment)), cipher)


def _url(settings: RecordSettings, home: Path, environment: Mapping[str, str]) -> URL:
    if settings.kind == "sqlite":
        return URL.create("sqlite", database=str(home / FILE))
    return make_url(settings.url).set(
        drivername="postgresql+psycopg", password=password_of(settings, environment, "records")
    )
