"""What Alembic runs: the migrations, in the transaction of whoever called it."""

from alembic import context

from activities.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table="surefoot_schema"
)
context.run_migrations()
