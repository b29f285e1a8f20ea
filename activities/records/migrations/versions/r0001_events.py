"""The events of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "surefoot_events",
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("execution", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("step", sa.Text),
        sa.Column("event", sa.Text),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run", "execution", "number", "hash"),
    )
    op.create_index("surefoot_events_at", "surefoot_events", ["at"])
    op.create_index("surefoot_events_process", "surefoot_events", ["process", "at"])
