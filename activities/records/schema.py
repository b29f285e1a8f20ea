"""The records database's tables, brought up to date by Alembic.

Migrations only add: workers of an earlier version go on with a newer schema.
"""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

_FOLDER = Path(__file__).parent / "migrations"
_VERSIONS = "surefoot_schema"
_LOCK = 7_233_005
"""Several workers that start at once bring PostgreSQL's tables up to date one after the other."""


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, in the connection's transaction; it holds the write lock of SQLite already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    # A schema that is not known is a newer one: another worker's, or a later version's.
    revision = revision_of(connection)
    if revision is None or is_older(revision):
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def revision_of(connection: Connection) -> str | None:
    """The schema that the database has; None when it has none."""
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()  # noqa: S608
    return found


def newer(connection: Connection) -> str | None:
    """The schema that the database has, when this version does not know it."""
    revision = revision_of(connection)
    return revision if revision not in (None, *_known()) else None


def is_older(revision: str) -> bool:
    """Whether a schema lacks something that this version makes."""
    return revision in _known()[1:]


def difference(revision: str | None) -> str | None:
    """How a schema differs from the one that this version makes, in words; None when it does not."""
    newest, *earlier = _known()
    if revision == newest:
        return None
    if revision is None:
        return "it has no tables yet; a worker makes them when it starts"
    if revision in earlier:
        return f"its schema is {revision} and this version's is {newest}; a worker of this version brings it up to date"
    return f"its schema is {revision}, which is newer than {newest}, the last that this version of Surefoot knows"


@cache
def _known() -> tuple[str, ...]:
    """All schemas, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
