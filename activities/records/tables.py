"""The tables of the records database. Another one is added here, and made by a file in `migrations/versions`."""

from sqlalchemy import Column, DateTime, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text

metadata = MetaData()

events = Table(
    "surefoot_events",
    metadata,
    Column("run", Text, nullable=False),
    Column("execution", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("step", Text),
    Column("event", Text),  # its exact JSON; or, where there are encryption keys,
    Column("sealed", LargeBinary),
    Column("written", DateTime(timezone=True), nullable=False),
    # With its hash: a run that was reset makes other events of the same numbers, and none is written over.
    PrimaryKeyConstraint("run", "execution", "number", "hash"),
    Index("surefoot_events_at", "at"),
    Index("surefoot_events_process", "process", "at"),
)
"""One row for each event of a run."""

notices = Table(
    "surefoot_notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("changed", DateTime(timezone=True), nullable=False),
    Column("notice", Text),  # what it is made of, as JSON, until it is delivered; or, where there are encryption keys,
    Column("sealed", LargeBinary),
    Index("surefoot_notices_changed", "state", "changed"),
    Index("surefoot_notices_run", "run"),
)
"""One row for each message to one recipient."""
