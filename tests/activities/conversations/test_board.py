"""The board in every store that conversations can lie in."""

import asyncio

import pytest

from activities.boards.opening import OpenedBoard, open_board
from contracts.board import BoardUnavailable
from tests.activities.conversations.conftest import BackEnd

ENTRIES = {"models/force/a": '{"state": "open"}', "models/force/größe 100%": "x", "models/worker/w-1": "é\n"}


def opened(back_end: BackEnd) -> OpenedBoard:
    board = open_board(back_end.settings, back_end.home, back_end.environment)
    back_end.closing.append(board.close)
    return board


async def test_another_reads_by_prefix_what_one_wrote(back_end: BackEnd) -> None:
    one, other = opened(back_end), opened(back_end)
    await asyncio.gather(*(one.write(key, value) for key, value in ENTRIES.items()))
    assert await other.read("") == dict(sorted(ENTRIES.items()))
    assert list(await other.read("models/force/")) == ["models/force/a", "models/force/größe 100%"]
    assert await other.read("models/f%") == {}


async def test_the_last_word_counts_and_none_removes(back_end: BackEnd) -> None:
    board = opened(back_end)
    await board.write("a", "1")
    await board.write("a", "2")
    await board.write("b", "3")
    await board.write("b", None)
    await board.write("never", None)
    assert await board.read("") == {"a": "2"}


async def test_losing_the_conversations_leaves_the_board(back_end: BackEnd) -> None:
    board = opened(back_end)
    await board.write("a", "1")
    await back_end.open().put({"key": b"content"})
    await back_end.age(1)
    await back_end.open().put({"other": b"content"})
    assert await board.read("") == {"a": "1"}


@pytest.mark.slow
async def test_a_board_that_cannot_be_used_says_where_it_is(s3_back_end: BackEnd) -> None:
    board = opened(s3_back_end)
    s3_back_end.break_()
    with pytest.raises(BoardUnavailable, match=r"^board in s3://acme/surefoot/board: .*403"):
        await board.read("")
    with pytest.raises(BoardUnavailable, match=r"403"):
        await board.write("a", "1")
    await board.close()
