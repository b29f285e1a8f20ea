"""The records database: what happened in runs, for as long as its owner wants. SQLite, or PostgreSQL by setting."""
