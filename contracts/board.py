"""The board: small notes that workers and operators leave for each other, in the store where conversations lie.

models/force/ALIAS      what an operator says of a model's breaker
models/worker/WORKER    how a worker's breakers and limits stand
"""

from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from contracts.base import Contract

FORCES = "models/force/"
WORKERS = "models/worker/"

ForcedState = Literal["open", "close", "auto"]


class BoardUnavailable(Exception):
    """The board cannot be read or written now; the message names it."""


class BoardStore(Protocol):
    """Both raise BoardUnavailable. Keys and values are text."""

    async def read(self, prefix: str) -> dict[str, str]:
        """Every entry whose key starts so."""

    async def write(self, key: str, value: str | None) -> None:
        """Keep the value under the key; None removes it."""


class Force(Contract):
    """An operator's word on the breaker of an alias: `open` asks it no more, `close` asks it whatever happens, `auto`
    leaves it to the breaker, which starts afresh."""

    state: ForcedState
    at: datetime
    by: str
    reason: str = ""


class ModelState(Contract):
    """How a worker finds a model. `after`: seconds until a probe; `calls`, `failures` and `slow` are of the breaker's
    window; `requests` and `tokens` of the last minute; `waiting`: runs that wait for it."""

    alias: str
    model: str
    url: str
    state: Literal["closed", "open", "half-open"]
    why: str = ""
    after: float = 0.0
    calls: int = 0
    failures: int = 0
    slow: int = 0
    probes: int = Field(default=0, description="let through while the breaker was open, all there ever were")
    waiting: int = 0
    requests: int = 0
    tokens: int = 0


class WorkerModels(Contract):
    """What a worker says of the models it asked, at a moment."""

    worker: str
    at: datetime
    models: tuple[ModelState, ...] = ()
