"""From settings to a board."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from activities.boards.sqlite import SqliteBoard
from activities.reach.needs import bucket_of, password_of, require
from contracts.board import BoardStore
from contracts.stores import ConversationSettings

FILE = "board.db"


class OpenedBoard(BoardStore, Protocol):
    """A board as its owner holds it."""

    async def close(self) -> None:
        """Let go of files and connections."""


def open_board(settings: ConversationSettings, home: Path, environment: Mapping[str, str]) -> OpenedBoard:
    """The board in the store that is set for conversations.

    Raises:
        SettingsInvalid: its package is not installed, or its password's variable is not set.
    """
    require(settings.kind)
    match settings.kind:
        case "postgresql":
            from activities.boards.postgres import PostgresBoard

            return PostgresBoard(settings.store, password_of(settings, environment))
        case "redis":
            from activities.boards.redis import RedisBoard

            return RedisBoard(settings.store, password_of(settings, environment))
        case "s3":
            from activities.boards.s3 import S3Board

            return S3Board(*bucket_of(settings))
        case "sqlite":
            return SqliteBoard(home / FILE)
