"""The board as model calls use it: what operators say is read, how the worker's models stand is told."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from contracts.board import FORCES, WORKERS, BoardStore, BoardUnavailable, Force, ModelState, WorkerModels

FRESH = 2.0
"""Seconds for which what was read is good, and between two reports."""

log = structlog.get_logger()


class Operators:
    """Of one worker. Without a board nobody says or hears anything; one that fails never fails a model call."""

    def __init__(
        self,
        board: BoardStore | None,
        states: Callable[[], tuple[ModelState, ...]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._states = states
        self._clock = clock
        self._worker = f"{os.getpid()}@{socket.gethostname()}"
        self._forces: dict[str, Force] = {}
        self._read_at: float | None = None
        self._reading = asyncio.Lock()
        self._reporting: asyncio.Task[None] | None = None
        self._told: tuple[ModelState, ...] = ()

    async def force_of(self, alias: str) -> Force | None:
        """What an operator said last of this alias."""
        if self._board is not None:
            async with self._reading:  # nobody asks before what is said was heard
                await self._read(self._board)
        return self._forces.get(alias)

    async def _read(self, board: BoardStore) -> None:
        if self._read_at is not None and self._clock() < self._read_at + FRESH:
            return
        try:
            self._forces = _forces(await board.read(FORCES))
        except BoardUnavailable as error:
            log.warning("what operators say cannot be read; what they said last holds", error=str(error))
        self._read_at = self._clock()

    def changed(self) -> None:
        """Tell how the models stand, soon and not more often than every two seconds."""
        if self._board is not None and (self._reporting is None or self._reporting.done()):
            self._reporting = asyncio.create_task(self._report(self._board))

    async def close(self) -> None:
        """A worker that is gone says nothing."""
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        if self._board is not None and self._told:
            try:
                await self._board.write(WORKERS + self._worker, None)
            except BoardUnavailable as error:
                log.warning("the worker's models stay on the board", error=str(error))

    async def _report(self, board: BoardStore) -> None:
        while (states := self._states()) != self._told:
            said = WorkerModels(worker=self._worker, at=datetime.now(UTC), models=states)
            try:
                await board.write(WORKERS + self._worker, said.model_dump_json())
            except BoardUnavailable as error:
                log.warning("how models stand cannot be told", error=str(error))
            self._told = states
            await asyncio.sleep(FRESH)


def _forces(entries: dict[str, str]) -> dict[str, Force]:
    found: dict[str, Force] = {}
    for key, value in entries.items():
        try:
            found[key.removeprefix(FORCES)] = Force.model_validate_json(value)
        except ValidationError as error:
            log.warning("an operator's word cannot be read", key=key, error=str(error))
    return found
