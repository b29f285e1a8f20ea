"""A conversation by reference: loaded, cached, lost, supplied again."""

import sqlite3
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.conversations import SqliteConversations
from contracts.messages import UserMessage, digest
from contracts.model import Link, ModelReply
from tests.activities.model.harness import Desk, brief
from tests.endpoint import Endpoint


async def talk(desk: Desk, endpoint: Endpoint, turns: int) -> ModelReply:
    replies = []
    for number in range(turns):
        endpoint.say(f"answer {desk.turn}")
        replies.append(await desk.ask())
        desk.add(UserMessage(content=f"question {number} of {desk.turn}"))
    return replies[-1]


def forget(path: Path, *keys: str) -> None:
    """Delete these keys from the store's file, or all."""
    connection = sqlite3.connect(path)
    with connection:
        if keys:
            connection.executemany("DELETE FROM content WHERE key = ?", [(key,) for key in keys])
        else:
            connection.execute("DELETE FROM content")
    connection.close()


async def test_another_worker_goes_on_where_one_stopped(desk: Desk, endpoint: Endpoint) -> None:
    await talk(desk, endpoint, 3)
    await desk.restart()
    await talk(desk, endpoint, 1)
    assert len(endpoint.requests[-1].messages) == 2 + 2 * 3
    assert endpoint.requests[-1].messages[:6] == endpoint.requests[-2].messages


async def test_what_is_missing_is_named_and_what_is_there_is_not(
    desk: Desk, endpoint: Endpoint, tmp_path: Path
) -> None:
    await talk(desk, endpoint, 1)
    lost = desk.conversation.pending[0].key
    forget(tmp_path / "c.db", lost)
    request = desk.conversation.request(run="r", step="s", turn=2, max_output_tokens=None)
    with pytest.raises(ApplicationError) as caught:
        await desk.run(request)
    assert (caught.value.type, caught.value.non_retryable) == ("ConversationLost", True)
    assert caught.value.details[0] == [lost]


async def test_a_lost_brief_or_message_is_supplied_again(desk: Desk, endpoint: Endpoint, tmp_path: Path) -> None:
    await talk(desk, endpoint, 1)
    forget(tmp_path / "c.db", digest(brief()), desk.conversation.pending[0].key)
    await talk(desk, endpoint, 1)
    assert len(endpoint.requests[-1].messages) == 4


async def test_losing_the_whole_store_loses_nothing(desk: Desk, endpoint: Endpoint, tmp_path: Path) -> None:
    await talk(desk, endpoint, 5)
    forget(tmp_path / "c.db")
    await desk.restart()
    await talk(desk, endpoint, 1)
    assert len(endpoint.requests[-1].messages) == 2 + 2 * 5
    assert endpoint.requests[-1].messages[:10] == endpoint.requests[-2].messages


async def test_damaged_content_is_as_lost(desk: Desk, endpoint: Endpoint, tmp_path: Path) -> None:
    await talk(desk, endpoint, 1)
    assert isinstance(desk.store, SqliteConversations)
    await desk.store.put({desk.conversation.pending[0].key: b"{damaged"})
    await talk(desk, endpoint, 1)
    assert len(endpoint.requests[-1].messages) == 4


async def test_an_attempt_that_failed_leaves_the_conversation_as_it_was(desk: Desk, endpoint: Endpoint) -> None:
    await talk(desk, endpoint, 1)
    endpoint.fail(500, message="later")
    await desk.failure()
    await talk(desk, endpoint, 1)
    assert endpoint.requests[-1].body == endpoint.requests[-2].body


async def test_a_turn_sends_only_what_is_new(desk: Desk, endpoint: Endpoint) -> None:
    sizes = []
    for _ in range(30):
        await talk(desk, endpoint, 1)
        request = desk.conversation.request(run="r", step="s", turn=99, max_output_tokens=None)
        sizes.append(len(request.model_dump_json()))
    assert max(sizes[1:]) - min(sizes[1:]) < 20


async def test_reply_and_link_are_where_the_next_call_looks(desk: Desk, endpoint: Endpoint) -> None:
    reply = await talk(desk, endpoint, 2)
    request = desk.conversation.request(run="r", step="s", turn=3, max_output_tokens=None)
    found = await desk.store.get([digest(reply.message), request.head])
    assert set(found) == {digest(reply.message), request.head}
    assert Link.model_validate_json(found[request.head]).head == request.brief


async def test_an_attempt_after_the_answer_finds_it_and_asks_nobody(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.call(("erp_read_order", {"id": "7"}), usage=(300, 40))
    request = desk.conversation.request(run="r", step="s", turn=1)
    reply = await desk.run(request)
    await desk.restart()  # its worker was killed before it could tell the workflow
    desk.beats = ({"failed_calls": 0, "busy_calls": 0, "lost_calls": 4, "under_way": True},)
    again = await desk.run(request)
    assert (again, again.usage.tokens, again.usage.calls) == (reply, 340, 1)
    assert len(endpoint.requests) == 1


async def test_an_answer_is_of_one_call_of_one_run_alone(desk: Desk, endpoint: Endpoint) -> None:
    first = desk.workflow
    for text in ("once", "by another agent", "once more, longer"):
        endpoint.say(text)
    request = desk.conversation.request(run="r", step="s", turn=1)
    await desk.run(request)
    desk.workflow = "another"
    assert (await desk.run(request)).message.content == "by another agent"
    desk.workflow, desk.which = first, "-longer"
    assert (await desk.run(request)).message.content == "once more, longer"
    desk.which, desk.attempted = "", "the run of the step tried anew"
    endpoint.say("anew")
    assert (await desk.run(request)).message.content == "anew"


async def test_what_was_asked_otherwise_is_asked_under_the_same_name(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.say("short of time")
    await desk.run(desk.conversation.request(run="r", step="s", turn=1))
    desk.add(UserMessage(content="a word more"))
    endpoint.say("in time")
    assert (await desk.run(desk.conversation.request(run="r", step="s", turn=1))).message.content == "in time"


async def test_a_kept_answer_that_is_lost_is_asked_for_again(desk: Desk, endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.say("once")
    endpoint.say("again")
    request = desk.conversation.request(run="r", step="s", turn=1)
    await desk.run(request)
    forget(tmp_path / "c.db")
    assert (await desk.run(request)).message.content == "again"
