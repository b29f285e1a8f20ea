"""What every back end promises."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Protocol

RETENTION = timedelta(days=30)
"""How long content stays after it was last put or, to within a day, read."""

RENEW_SECONDS = 86_400.0
"""What was read is written to, so that it stays, no more often than this."""


class ConversationsUnavailable(Exception):
    """The store cannot be read or written now; the message names it."""


class ConversationStore(Protocol):
    """Content by its digest, and replies of models by their calls. Both raise ConversationsUnavailable, and may be
    called again after that."""

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """What there is of these keys."""

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Keep all of these. After an error some may be there, which harms nobody: each content is whole by itself."""


class OpenedStore(ConversationStore, Protocol):
    """A store as its owner holds it."""

    async def close(self) -> None:
        """Let go of files and connections."""


class Sweep:
    """When the next bounded part of what is too old is to be deleted: hourly, or at once while there is more."""

    EVERY_SECONDS = 3_600.0
    ROWS = 1_000

    def __init__(self) -> None:
        self._last = 0.0

    def is_due(self, now: float) -> bool:
        return now - self._last >= self.EVERY_SECONDS

    def deleted(self, rows: int, now: float) -> None:
        self._last = now if rows < self.ROWS else 0.0
