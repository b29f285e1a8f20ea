"""What every back end of the conversation store promises, on a real server of its kind."""

import asyncio
import json

import pytest
from temporalio.client import Client

from activities.conversations import ConversationsUnavailable
from contracts.settings import ModelAlias
from runtime.keys import Keys
from tests.activities.conversations.conftest import BackEnd
from tests.activities.model.harness import Desk
from tests.endpoint import Answered, Asked, Endpoint, completion, open_endpoint
from tests.stores import Server
from tests.workflows.office import open_office

KEYS = Keys({"first": bytes(32), "second": bytes(range(32))}, "first")


async def test_get_finds_what_was_put_and_leaves_out_what_was_not(back_end: BackEnd) -> None:
    store = back_end.open()
    await store.put({"a": b"1", "b": b"\x00\xff"})
    assert await store.get(["a", "b", "c", "a"]) == {"a": b"1", "b": b"\x00\xff"}
    assert await store.get([]) == {}
    await store.put({})


async def test_another_worker_finds_what_one_put(back_end: BackEnd) -> None:
    await back_end.open().put({"a": b"1"})
    assert await back_end.open().get(["a"]) == {"a": b"1"}


async def test_content_is_kept_once_and_putting_it_again_mends_it(back_end: BackEnd) -> None:
    store = back_end.open()
    await store.put({"a": b"damaged"})
    await asyncio.gather(*(store.put({"a": b"whole", "b": b"other"}) for _ in range(5)))
    assert await back_end.rows() == {"a": b"whole", "b": b"other"}


async def test_many_keys_are_found_in_one_get(back_end: BackEnd) -> None:
    items = {f"k{number}": str(number).encode() for number in range(1_200)}
    store = back_end.open()
    await store.put(items)
    assert await store.get(items) == items


async def test_workers_that_start_at_once_write_and_read_the_same_content(back_end: BackEnd) -> None:
    items = {f"k{number}": str(number).encode() for number in range(50)}
    stores = [back_end.open() for _ in range(5)]
    await asyncio.gather(
        *(store.put(dict(reversed(items.items()) if turn % 2 else items.items())) for turn, store in enumerate(stores))
    )
    assert await asyncio.gather(*(store.get(items) for store in stores)) == [items] * 5


async def test_what_nobody_used_for_the_retention_is_forgotten_and_what_was_read_or_put_stays(
    back_end: BackEnd,
) -> None:
    store = back_end.open()
    await store.put({"read": b"1", "put": b"2", "left": b"3"})
    await back_end.age(20)
    await store.get(["read"])
    await store.put({"put": b"2"})
    await back_end.age(11)
    fresh = back_end.open()  # sweeps with its first write, where it sweeps
    await fresh.put({"new": b"4"})
    assert set(await fresh.get(["read", "put", "left", "new"])) == {"read", "put", "new"}
    assert set(await back_end.rows()) == {"read", "put", "new"}


async def test_a_store_that_cannot_be_used_says_which_it_is(back_end: BackEnd) -> None:
    store = back_end.open()
    await store.put({"a": b"1"})
    back_end.break_()
    with pytest.raises(ConversationsUnavailable, match=r"^conversations in ") as caught:
        await back_end.open().get(["a"])
    assert all(secret not in str(caught.value) for secret in back_end.environment.values() if len(secret) > 12)


async def test_with_keys_the_store_holds_nothing_that_can_be_read_and_old_keys_still_read_it(back_end: BackEnd) -> None:
    await back_end.open(KEYS).put({"a": b"the salary is 9,000"})
    assert b"salary" not in b"".join((await back_end.rows()).values())
    rotated = Keys({"first": bytes(32), "second": bytes(range(32))}, "second")
    assert await back_end.open(rotated).get(["a"]) == {"a": b"the salary is 9,000"}


async def test_what_cannot_be_decrypted_counts_as_lost(back_end: BackEnd) -> None:
    await back_end.open().put({"clear": b"from before there were keys"})
    await back_end.open(KEYS).put({"a": b"1", "b": b"2"})
    retired = Keys({"second": bytes(range(32))}, "second")
    assert await back_end.open(retired).get(["a", "b", "clear"]) == {}
    rows = await back_end.rows()
    await back_end.open().put({"a": rows["b"]})  # passed off as another content
    assert await back_end.open(KEYS).get(["a", "b"]) == {"b": b"2"}


@pytest.mark.parametrize("keys", [None, KEYS], ids=["clear", "encrypted"])
async def test_the_answer_to_a_call_whose_worker_was_lost_is_found_by_another(
    back_end: BackEnd, endpoint: Endpoint, keys: Keys | None
) -> None:
    endpoint.say("paid for", usage=(300, 40))
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
    desk = Desk(back_end.open(keys), models, {"OPENAI_API_KEY": "none"})
    request = desk.conversation.request(run="r", step="s", turn=1)
    reply = await desk.run(request)
    desk.store = back_end.open(keys)
    await desk.restart()
    assert await desk.run(request) == reply
    await desk.models.close()
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("keys", [None, KEYS], ids=["clear", "encrypted"])
async def test_a_store_emptied_in_mid_run_is_supplied_again_by_the_workflow(
    back_end: BackEnd, client: Client, keys: Keys | None
) -> None:
    def lose_then_answer(asked: Asked) -> Answered:
        back_end.lose()
        turn = sum(message["role"] == "assistant" for message in asked.messages)
        calls = (("do_work", {"what": f"canary {turn}"}),) if turn < 4 else ()
        return Answered(
            body=json.dumps(completion(asked, "" if calls else "the canary lives", calls, "stop", (100, 20)))
        )

    with open_endpoint() as endpoint:
        endpoint.default = lose_then_answer
        models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
        async with open_office(client, conversations=back_end.open(keys), models=models) as office:
            run = await office.start(PROCESS)
            assert (await run.handle.result()).output == "the canary lives"
        assert len(endpoint.requests[-1].messages) == 2 + 4 * 2
    assert [what for _, _, what in office.ledger] == [f"canary {turn}" for turn in range(4)]
    kept = b"".join((await back_end.rows()).values())
    assert kept
    assert (b"canary" in kept) is (keys is None)


PROCESS = """
    process: with-agent
    agents:
      clerk: {instructions: You are a clerk., tools: [do.work]}
    steps:
      ask: {agent: clerk, task: Do it.}
    output: ${ steps.ask.output }
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_a_server_that_was_restarted_is_found_again(request: pytest.FixtureRequest, kind: str) -> None:
    server: Server = request.getfixturevalue(kind)
    back_end: BackEnd = request.getfixturevalue(f"{kind}_back_end")
    store = back_end.open()
    await store.put({"a": b"1"})
    await asyncio.to_thread(server.restart)
    assert set(await store.get(["a"])) <= {"a"}
    await store.put({"b": b"2"})
    assert await store.get(["b"]) == {"b": b"2"}
    await store.close()
