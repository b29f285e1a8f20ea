"""The command line: start, decide, repair, inspect. `starter.py --help` lists the commands, `cli/` has them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.app import main
from cli.parts import Parts, TellTries
from contracts.errors import CallerError

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


def worker(settings: Settings, connection: Connection, catalog: Catalog) -> AbstractAsyncContextManager[object]:
    """The very worker of `worker.py`, imported only by the command that runs one: it brings every client along."""
    from worker import running_worker

    return running_worker(settings, connection, catalog)


def board(settings: Settings) -> AbstractAsyncContextManager[BoardStore]:
    """The board of `worker.py`."""
    from worker import open_board

    return open_board(settings)


def people(settings: Settings) -> AbstractAsyncContextManager[PeopleDirectory]:
    """The directory of people of `worker.py`."""
    from worker import open_people

    return open_people(settings)


def notices(settings: Settings) -> AbstractAsyncContextManager[NoticeDesk]:
    """The channels of `worker.py`, and what became of messages."""
    from worker import open_notices

    return open_notices(settings)


def records(settings: Settings) -> AbstractAsyncContextManager[RecordStore]:
    """The records database of `worker.py`."""
    from worker import open_records

    return open_records(settings)


async def offers(servers: Mapping[str, tuple[McpServer, str]], egress: Egress) -> Pins:
    """What MCP servers offer, asked with the secrets that tools get."""
    from activities.tools.context import environment_secrets
    from activities.tools.mcp import describe

    return await describe(servers, environment_secrets, egress)


async def evaluate(
    definition: Definition, folder: Path, settings: Settings, runs: int | None, record: bool, tell: TellTries
) -> EvalReport:
    """The evaluation of a process, by a worker on a test server.

    Raises:
        CallerError: what evaluates is not here.
    """
    try:
        from evals.evaluate import evaluate as tried
    except ModuleNotFoundError as error:
        if error.name != "evals":
            raise
        raise CallerError(
            "evals/ is not here, since this is the image that runs processes; try their cases in a clone, `make eval`"
        ) from error

    return await tried(definition, folder, settings, runs, record=record, tell=tell)


PARTS = Parts(
    worker=worker,
    board=board,
    records=records,
    offers=offers,
    people=people,
    notices=notices,
    evaluate=evaluate,
)

if __name__ == "__main__":
    main(PARTS)
