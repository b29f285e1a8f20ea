"""The records database that the tests of one process share: SQLite, in a folder that goes with it."""

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from activities.records.opening import open_records
from activities.records.store import Records
from contracts.stores import RecordSettings


@cache
def shared_records() -> Records:
    """Runs have ids of their own, so it is enough to make its tables once."""
    folder = TemporaryDirectory(prefix="surefoot-records-")
    atexit.register(folder.cleanup)
    return open_records(RecordSettings(), Path(folder.name), {})
