"""What the commands are given of the world that they may not import: it brings every client along."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # they bring what most commands do not need
    from contracts.board import BoardStore
    from contracts.connections import McpServer, Pins
    from contracts.directory import PeopleDirectory
    from contracts.egress import Egress
    from contracts.evals import EvalReport
    from contracts.notices import NoticeDesk
    from contracts.record import RecordStore
    from contracts.run import Definition
    from runtime.catalog import Catalog
    from runtime.client import Connection
    from runtime.settings import Settings

RunWorker: TypeAlias = "Callable[[Settings, Connection, Catalog], AbstractAsyncContextManager[object]]"
"""Runs a worker for the length of a block."""

OpenBoard: TypeAlias = "Callable[[Settings], AbstractAsyncContextManager[BoardStore]]"
"""Opens the board for the length of a block."""
OpenPeople: TypeAlias = "Callable[[Settings], AbstractAsyncContextManager[PeopleDirectory]]"
"""Opens the directory of people for the length of a block."""
OpenNotices: TypeAlias = "Callable[[Settings], AbstractAsyncContextManager[NoticeDesk]]"
"""Opens the channels, and what became of messages, for the length of a block."""
OpenRecords: TypeAlias = "Callable[[Settings], AbstractAsyncContextManager[RecordStore]]"
"""Opens the records of runs for the length of a block."""
Offers: TypeAlias = "Callable[[Mapping[str, tuple[McpServer, str]], Egress], Awaitable[Pins]]"
"""What MCP servers offer now, by group with the folder of its file. Raises CallerError for one that cannot be asked."""

TellTries: TypeAlias = "Callable[[int, int, str], None]"
"""Told how many tries are done, of how many, and what is being done now."""
Evaluate: TypeAlias = "Callable[[Definition, Path, Settings, int | None, bool, TellTries], Awaitable[EvalReport]]"
"""Tries the cases beside a process so often, on recorded answers, or to record them."""


@dataclass(frozen=True)
class Parts:
    worker: RunWorker
    board: OpenBoard
    records: OpenRecords
    offers: Offers
    people: OpenPeople
    notices: OpenNotices
    evaluate: Evaluate
