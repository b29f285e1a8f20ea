"""Paths of agents whose model costs, is cut off, or does not take what it is sent."""

import json
from collections.abc import Callable

from temporalio.client import Client

from contracts.names import LEASE_SIGNAL, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE
from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, completion
from tests.histories.gates import GATES
from tests.histories.runs import until_it_says

DEAR = 600.0
"""US dollars for a million tokens of an answer: the shortest one is more than half of what the run may cost."""


def models(url: str) -> dict[str, ModelAlias]:
    """Each is known by its name to the endpoint that `model` answers for."""
    return {
        "recorded": ModelAlias(model="recorded", base_url=url, window=2_500),
        "dear": ModelAlias(model="dear", base_url=url, input_price=0.0, output_price=DEAR),
        "plain": ModelAlias(model="plain", base_url=url, input_price=0.0, output_price=0.0),
    }


def model() -> Callable[[Asked], Answered]:
    plain = _cut_off_and_full()

    def answer(asked: Asked) -> Answered:
        match asked.body["model"]:
            case "dear":
                told = completion(asked, "told", (), "stop", (0, 20))
                return Answered(body=json.dumps(told), until=GATES["dear"])
            case "plain":
                return plain(asked)
            case _:
                return _read_pages(asked)

    return answer


def _read_pages(asked: Asked) -> Answered:
    """Reads eight pages, and counts a token for every four bytes of what it was sent."""
    usage = (len(json.dumps(asked.messages)) // 4, 20)
    if "about to be shortened" in (asked.messages[-1].get("content") or ""):
        return Answered(body=json.dumps(completion(asked, "They are dull.", (), "stop", usage)))
    read = next((message["content"].split()[1] for message in asked.messages[::-1] if message["role"] == "tool"), "-1")
    calls = (("pages_read", {"page": int(read) + 1}),) if int(read) < 7 else ()
    return Answered(body=json.dumps(completion(asked, "" if calls else "all read", calls, "stop", usage)))


def _cut_off_and_full() -> Callable[[Asked], Answered]:
    """Is cut off at first, reads four pages, and takes no more until there is less of them."""
    asked_before: list[Asked] = []

    def answer(asked: Asked) -> Answered:
        asked_before.append(asked)
        read = [message["content"] for message in asked.messages if message["role"] == "tool"]
        if len(asked_before) == 1:
            return Answered(body=json.dumps(completion(asked, "I shall re", (), "length", (100, 20))))
        if len(read) == 4 and "page 0" in read[0]:
            said = {"message": "This is more than the context length.", "code": "context_length_exceeded"}
            return Answered(400, json.dumps({"error": said}))
        calls = (("pages_read", {"page": len(read)}),) if len(read) < 4 else ()
        return Answered(body=json.dumps(completion(asked, "" if calls else "all read", calls, "stop", (100, 20))))

    return answer


async def short_of_room(client: Client) -> list[str]:
    """Two agents want most of what the run may cost, one waits for the other; a third comes to its own limit, is cut
    off, and reads more than its model takes."""
    payload = {"process": "short-of-room", "input": {}}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="short-of-room", task_queue=TASK_QUEUE)
    await until_it_says(run, f'"signalName": "{LEASE_SIGNAL}"', times=2)
    # What the run does meanwhile, the answer must not come before.
    await run.execute_update(REPAIR, {"action": "note", "by": "user:tom", "reason": "one waits for the other"})
    GATES["dear"].set()
    await run.result()
    return ["short-of-room", "short-of-room/one", "short-of-room/two", "short-of-room/read"]
