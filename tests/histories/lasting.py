"""Paths of workflows that continue as new: on a server that suggests it soon, every part of each is recorded."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.conversations.opening import FILE
from contracts.events import PublishEvent, shard_of, topic_workflow_id
from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE
from runtime.sandbox import patient, workflow_runner
from runtime.topics import Topics
from tests.endpoint import Answered, Asked, completion
from tests.histories.runs import (
    FOLDER,
    Handle,
    decided,
    failed,
    moved,
    until,
    until_completed,
    until_it_says,
    until_waiting,
)
from tests.servers import open_skipping_server
from workflows.registered import WORKFLOWS

AtWork = Callable[[Client], AbstractAsyncContextManager[object]]
SUGGESTED_AFTER_EVENTS = 60
LARGE = 20_500
"""Characters of an answer that is kept where the results of tools are."""
TURNS: tuple[tuple[tuple[str, dict[str, Any]], ...], ...] = (
    (("pages_read", {"page": 0}), ("pages_read", {"page": 1})),
    (("pages_note", {"text": "dull"}),),
    (("agent_teller", {"task": "Tell me."}),),
    (("pages_read", {"page": 2}),),
    (("pages_read", {"page": 3}),),
    (("process_part-of-it", {"part": "this"}),),
)
"""What the agent that reads for long calls in each turn, before its endpoint refuses to go on."""
AGAIN = TURNS[-1:]
"""What it calls when it is tried again."""


def reader() -> Callable[[Asked], Answered]:
    """The model of the agent that reads for long."""
    refused: list[Asked] = []

    def answer(asked: Asked) -> Answered:
        if "You tell everything." in str(asked.messages[0]["content"]):
            return Answered(body=json.dumps(completion(asked, "all " * (LARGE // 4), (), "stop", (100, 20))))
        turns = AGAIN if refused else TURNS
        turn = sum(message["role"] == "assistant" for message in asked.messages)
        if turn == len(TURNS):
            refused.append(asked)
            return Answered(400, json.dumps({"error": {"message": "not today", "code": "invalid_request"}}))
        calls = turns[turn] if turn < len(turns) else ()
        return Answered(body=json.dumps(completion(asked, "" if calls else "all read", calls, "stop", (100, 20))))

    return answer


async def lasting(client: Client) -> AsyncIterator[tuple[str, Handle]]:
    """A run with an effect, parts, people, events and time open before it continues as new: all of it goes on after,
    until it is cancelled. And the topic of its events, the first of which starts a run too."""
    payload = {"process": "lasting", "input": {}, "started_by": "user:hanna"}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="lasting", task_queue=TASK_QUEUE)
    first = (await run.describe()).run_id
    await until(run, lambda seen: len(seen.waiting) == 5)
    await run.execute_update(DECIDE, {"step": "ask", "decision": "approve", "by": "user:alice"})
    await decided(run, "go", "user:alice")
    async with asyncio.timeout(60):
        while (await run.describe()).run_id == first:
            await asyncio.sleep(0.1)
    await decided(run, "ask", "user:bob")
    await decided(client.get_workflow_handle("lasting/part"), "ask", "user:alice")
    topics = Topics(client, TASK_QUEUE)
    for number in range(1, 30):
        data = {"first": number == 1}
        await topics.publish(PublishEvent(id=f"settled-{number}", topic="bank.settled", key="L-1", data=data))
    await until_completed(run, "part", "ask", "paid", "seen", "each")
    await run.execute_update(CANCEL, {"by": "user:tom", "reason": "enough"})
    await failed(run)
    for workflow in (run.id, topic_workflow_id("bank.settled", shard_of("L-1"))):
        async for part in parts(client, workflow):
            yield part


async def long_reader(client: Client, home: Path) -> AsyncIterator[tuple[str, Handle]]:
    """An agent asks people, loses its conversation, continues as new, fails; tried again, it finds its sub-process."""
    payload = {"process": "long-reader", "input": {}}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="long-reader", task_queue=TASK_QUEUE)
    await until_waiting(run)
    with sqlite3.connect(home / FILE) as connection:
        connection.execute("DELETE FROM content")
    await decided(run, "read/ask-1", "user:paul")
    await until(run, lambda seen: bool(seen.incidents))
    async for part in parts(client, "long-reader/read"):
        yield part
    await run.execute_update(REPAIR, {"step": "read", "action": "retry", "by": "user:tom"})
    await run.result()
    yield "long-reader-read-again", client.get_workflow_handle("long-reader/read")


async def moved_on(client: Client) -> AsyncIterator[tuple[str, Handle]]:
    """A run that is moved while one step stands in for another; it ends in the middle of its rounds."""
    payload = {"process": "moved-on", "input": {}, "started_by": "user:hanna"}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="moved-on", task_queue=TASK_QUEUE)
    await until_waiting(run)
    await moved(run, FOLDER / "team", "moved-on")
    await decided(run, "second", "user:alice")
    await failed(run)
    async for part in parts(client, "moved-on"):
        yield part


async def forgotten(home: Path) -> AsyncIterator[tuple[str, Handle]]:
    """A topic whose only event nobody waits for: kept for a day, then forgotten, and the topic has ended."""
    async with open_skipping_server(home) as server:
        worker = Worker(server.client, task_queue=TASK_QUEUE, workflows=WORKFLOWS, workflow_runner=workflow_runner())
        async with patient(worker):
            await Topics(server.client, TASK_QUEUE).publish(PublishEvent(id="fell-1", topic="tree.fell", key="F-1"))
            topic = server.client.get_workflow_handle(topic_workflow_id("tree.fell", shard_of("F-1")))
            await server.sleep(timedelta(days=3))
            await topic.result()
            yield "surefoot-topic-tree.fell", topic


async def told_in_vain(home: Path, at_work: AtWork) -> AsyncIterator[tuple[str, Handle]]:
    """A run whose approver cannot be told for a day, after which nobody tries on. `at_work`: nothing goes through."""
    async with open_skipping_server(home) as server, at_work(server.client):
        payload = {"process": "asks", "input": {}}
        run = await server.client.start_workflow(PROCESS_WORKFLOW, payload, id="told-in-vain", task_queue=TASK_QUEUE)
        await until_it_says(run, '"surefoot.notify"')
        await server.sleep(timedelta(days=2))
        await until_it_says(run, '"surefoot.notify"', times=2)
        await decided(run, "ask", "user:alice")
        await run.result()
        yield run.id, run


async def parts(client: Client, workflow: str) -> AsyncIterator[tuple[str, Handle]]:
    """Each part of a workflow, from its first, by a name of its own; a topic has no end."""
    described = await client.get_workflow_handle(workflow).describe()
    run: str = described.raw_description.workflow_execution_info.first_run_id
    number = 0
    while run:
        number += 1
        handle: Handle = client.get_workflow_handle(workflow, run_id=run)
        yield f"{workflow.replace('/', '-')}-part-{number}", handle
        last = (await handle.fetch_history()).events[-1]
        run = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
