"""The store of conversations: content by digest, shared between processes, forgotten when old."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from activities.conversations import ConversationsUnavailable, SqliteConversations

DAY = 86_400.0
PROJECT = Path(__file__).parents[3]

_WRITER = """
import asyncio, sys
from pathlib import Path
from activities.conversations import SqliteConversations

async def main():
    store = SqliteConversations(Path(sys.argv[1]))
    for number in range(200):
        await store.put({f"{sys.argv[2]}-{number}": b"x" * 200, "shared": sys.argv[2].encode()})
    await store.close()

asyncio.run(main())
"""


@asynccontextmanager
async def opened(path: Path, now: list[float] | None = None, days: int = 30) -> AsyncIterator[SqliteConversations]:
    clock = now or [0.0]
    store = SqliteConversations(path, timedelta(days=days), lambda: clock[0])
    try:
        yield store
    finally:
        await store.close()


async def test_get_finds_what_was_put_and_leaves_out_what_was_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "c.db") as store:
        await store.put({"a": b"1", "b": b"2"})
        assert await store.get(["a", "b", "c", "a"]) == {"a": b"1", "b": b"2"}
        assert await store.get([]) == {}


async def test_content_outlives_the_process_that_put_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "deep" / "c.db") as store:
        await store.put({"a": b"\x00\xff"})
    async with opened(tmp_path / "deep" / "c.db") as store:
        assert await store.get(["a"]) == {"a": b"\x00\xff"}


async def test_thousands_of_keys_are_found_in_one_get(tmp_path: Path) -> None:
    items = {f"k{number}": str(number).encode() for number in range(40_000)}
    async with opened(tmp_path / "c.db") as store:
        await store.put(items)
        assert await store.get(items) == items


async def test_putting_again_replaces_content_that_was_damaged(tmp_path: Path) -> None:
    async with opened(tmp_path / "c.db") as store:
        await store.put({"a": b"damaged"})
        await store.put({"a": b"whole"})
        assert await store.get(["a"]) == {"a": b"whole"}


async def test_several_processes_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WRITER, str(path), name), cwd=PROJECT, stderr=subprocess.PIPE
        )
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        _, error = await writer.communicate()
        assert writer.returncode == 0, error.decode()
    async with opened(path) as store:
        keys = [f"{name}-{number}" for name in ("one", "two", "three") for number in range(200)]
        assert len(await store.get(keys)) == 600
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_what_nobody_used_for_the_retention_is_forgotten_and_what_was_read_stays(tmp_path: Path) -> None:
    now = [0.0]
    async with opened(tmp_path / "c.db", now) as store:
        await store.put({"read": b"1", "put": b"2", "left": b"3"})
        now[0] = 20 * DAY
        await store.get(["read"])
        await store.put({"put": b"2"})
        now[0] = 31 * DAY
        await store.put({"new": b"4"})
        assert set(await store.get(["read", "put", "left", "new"])) == {"read", "put", "new"}


async def test_much_old_content_is_forgotten_in_bounded_parts(tmp_path: Path) -> None:
    now = [0.0]
    async with opened(tmp_path / "c.db", now) as store:
        await store.put({f"k{number}": b"x" for number in range(2_500)})
        now[0] = 40 * DAY
        remaining = []
        for number in range(4):
            await store.put({f"new{number}": b"x"})
            with sqlite3.connect(tmp_path / "c.db") as connection:
                remaining.append(connection.execute("SELECT count(*) FROM content WHERE used = 0").fetchone()[0])
            connection.close()
    assert remaining == [1_500, 500, 0, 0]


async def test_a_store_that_cannot_be_used_says_which_file_it_is(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"this is no database" * 100)
    async with opened(tmp_path / "c.db") as store:
        with pytest.raises(ConversationsUnavailable, match=r"c\.db: file is not a database"):
            await store.put({"a": b"1"})
    (tmp_path / "file").write_text("")
    async with opened(tmp_path / "file" / "c.db") as store:
        with pytest.raises(ConversationsUnavailable, match=r"file/c\.db"):
            await store.get(["a"])
