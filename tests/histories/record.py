"""Record histories of the sample processes, to be replayed by every later version: `python -m tests.histories.record`.

Recorded files are never changed or removed, which `kept.py` holds; a new path of a workflow gets a new file. Every path
is gone each time, which takes some minutes, and what has no file yet is recorded.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.client import Client

from contracts.channels import WebhookChannel
from contracts.events import PublishEvent, shard_of, topic_workflow_id
from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE
from contracts.settings import ModelAlias
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.settings import PROJECT, Settings
from runtime.topics import Topics
from tests.endpoint import open_endpoint
from tests.histories import answering, kept, lasting, stopping, trying
from tests.histories.runs import (
    FOLDER,
    Handle,
    decided,
    failed,
    moved,
    start,
    until,
    until_it_says,
    until_waiting,
    view,
)
from tests.servers import hasty, open_server
from tests.service import Answer, Request, open_service
from worker import running_worker


async def onboarding_approved(client: Client) -> list[str]:
    handle = await start(client, "employee-onboarding", "onboarding-approved")
    await until_waiting(handle)
    await handle.execute_update(DECIDE, {"step": "hardware_approval", "decision": "approve", "by": "user:mia"})
    await handle.result()
    return ["onboarding-approved", "onboarding-approved/equipment"]


async def onboarding_rejected(client: Client) -> list[str]:
    handle = await start(client, "employee-onboarding", "onboarding-rejected")
    await until_waiting(handle)
    decision = {"step": "hardware_approval", "decision": "reject", "by": "user:mia", "comment": "too expensive"}
    await handle.signal(DECIDE, decision)
    await failed(handle)
    return ["onboarding-rejected"]


async def invoice_two_people(client: Client) -> list[str]:
    handle = await start(client, "invoice-approval", "invoice-two-people")
    await until_waiting(handle)
    for who in ("user:mallory", "user:alice", "user:bob"):
        await handle.signal(DECIDE, {"step": "sign_off", "decision": "approve", "by": who})
    await handle.result()
    return ["invoice-two-people", "invoice-two-people/audit"]


async def migrated(client: Client) -> list[str]:
    """A run that is moved to a newer definition while people are asked: what it was before, and what it is after."""
    handle = await start(client, "invoice-approval", "migrated")
    await until_waiting(handle)
    before = (await handle.describe()).run_id
    await moved(handle, PROJECT / "processes", "invoice-approval")
    for who in ("user:alice", "user:bob"):
        await decided(handle, "sign_off", who)
    await handle.result()
    await keep("migrated-before", client.get_workflow_handle(handle.id, run_id=before))
    return ["migrated"]


async def onboarding_cancelled(client: Client) -> list[str]:
    handle = await start(client, "employee-onboarding", "onboarding-cancelled")
    await until_waiting(handle)
    await handle.execute_update(CANCEL, {"by": "user:hanna", "reason": "another candidate"})
    await failed(handle)
    return ["onboarding-cancelled"]


async def started_again(client: Client) -> list[str]:
    """A run that an operator cancels takes its effect back, and is started again from where it stood."""
    payload: dict[str, Any] = {"process": "stopped", "input": {}, "started_by": "user:hanna"}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="stopped", task_queue=TASK_QUEUE)
    await until_waiting(run)
    await run.execute_update(CANCEL, {"by": "user:tom", "reason": "the wrong day"})
    await failed(run)
    payload = {"process": "stopped", "rerun": {"of": "stopped", "by": "user:hanna", "reason": "the right one"}}
    again = await client.start_workflow(PROCESS_WORKFLOW, payload, id="stopped~2", task_queue=TASK_QUEUE)
    await decided(again, "agree", "user:mia")
    await again.result()
    return ["stopped", "stopped~2"]


async def delegated(client: Client, run: str = "delegated") -> list[str]:
    """A plan that is reviewed, fails in a step, is changed and reviewed again."""
    handle = await start(client, "supplier-onboarding", run)
    await decided(handle, "checks", "user:paul", "the objective")
    await decided(handle, "checks", "user:paul", "rating failed")
    await decided(handle, "activate", "user:alice")
    await handle.result()
    return [run, f"{run}/checks/plan-1.1"]


async def agreed_by_equals(client: Client, run: str = "agreed-by-equals") -> list[str]:
    """Rounds of agents that write the shared state at the same time."""
    handle = await start(client, "budget-planning", run)
    await decided(handle, "adopt", "user:cfo")
    await handle.result()
    return [run]


async def woken_by_events(client: Client) -> list[str]:
    """Runs that events start, and that wait for events."""
    topics = Topics(client, TASK_QUEUE)
    await topics.publish(PublishEvent(id="W-5001", topic="shop.order", data={"order": "W-5001"}))
    ordered, bought = "order-desk-W-5001", "stock-watch-order-desk-W-5001/short"
    await decided(client.get_workflow_handle(bought), "agree", "user:paul")
    delivery = {"purchase": "PU-1001", "quantity": 28}
    await topics.publish(PublishEvent(id="scan-1", topic="dock.delivery", data=delivery))
    await client.get_workflow_handle(ordered).result()
    return [ordered, bought, topic_workflow_id("stock.short", shard_of(f"{ordered}/short"))]


async def worked_together(client: Client) -> list[str]:
    """An agent that gives tasks, asks a peer, hears a debate, runs a process and hands over."""
    payload = {"process": "worked-together", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="worked-together", task_queue=TASK_QUEUE)
    await handle.result()
    return ["worked-together", "worked-together/work"]


async def within_limits(client: Client, run: str = "within-limits") -> list[str]:
    """An agent on a lease, whose model's window is small, and whose limit people raise."""
    payload = {"process": "within-limits", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id=run, task_queue=TASK_QUEUE)
    await decided(handle, "read/ask-1", "user:paul")
    await handle.result()
    return [run, f"{run}/read"]


async def over_limits(client: Client) -> list[str]:
    """A run that is warned of its limit, and comes to it."""
    payload = {"process": "over-limits", "input": {}}
    await failed(await client.start_workflow(PROCESS_WORKFLOW, payload, id="over-limits", task_queue=TASK_QUEUE))
    return ["over-limits", "over-limits/read"]


async def repaired(client: Client) -> list[str]:
    """Pausing, notes, amendments before and after a failure, a step that stands in for another."""
    payload = {"process": "repaired", "input": {}, "started_by": "user:tom"}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="repaired", task_queue=TASK_QUEUE)

    async def say(action: str, step: str = "", **more: Any) -> None:
        await handle.execute_update(REPAIR, {"step": step, "action": action, "by": "user:tom", **more})

    await until(handle, lambda seen: {incident.step for incident in seen.incidents} == {"machine", "screen"})
    machine = {"employee": "E-1001", "sku": "NB-14", "price": 1380}
    await say("note", reason="look at the catalog")
    await say("pause", reason="stocktaking")
    await say("amend", "machine", value=machine)
    await say("amend", "second_best", value={**machine, "sku": "NB-13", "price": 990})
    await say("fallback", "screen", value="second_best")
    await say("amend", "settle", value="0s")
    await say("resume")
    await handle.result()
    return ["repaired"]


async def recorded(client: Client) -> list[str]:
    """Runs that write their record: one that completes, and one that is refused a word, rejected and taken back."""
    completed = await start(client, "employee-onboarding", "recorded-completed")
    await decided(completed, "hardware_approval", "user:mia")
    await completed.result()
    undone = await start(client, "employee-onboarding", "recorded-undone")
    await until_waiting(undone)
    decision = {"step": "hardware_approval", "decision": "reject", "by": "user:mia", "comment": "too expensive"}
    await undone.signal(DECIDE, {**decision, "by": "user:mallory"})
    await undone.signal(DECIDE, decision)
    await failed(undone)
    return ["recorded-completed", "recorded-undone"]


async def told(client: Client) -> list[str]:
    """Operators and approvers are told, by a channel that takes it and by one that refuses it."""
    payload = {"process": "told", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="told", task_queue=TASK_QUEUE)
    await until_it_says(handle, '"surefoot.notify"', times=4)  # Who has decided is not told any more.
    await decided(handle, "ask", "user:alice")
    await handle.execute_update(REPAIR, {"step": "check", "action": "skip", "by": "user:tom", "reason": "known"})
    await handle.result()
    return ["told"]


async def asked_again(client: Client) -> list[str]:
    """A vote is withdrawn, an operator lifts a claim, and another event is waited for than the process says."""
    payload = {"process": "asked-again", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="asked-again", task_queue=TASK_QUEUE)
    async with asyncio.timeout(60):
        while len((seen := await view(handle)).waiting) < 2:
            await asyncio.sleep(0.1)
    asked = next(wait for wait in seen.waiting if wait.step == "ask")

    async def say(decision: str, by: str, comment: str = "") -> None:
        said = {"step": "ask", "decision": decision, "by": by, "comment": comment, "hash": asked.hash}
        await handle.execute_update(DECIDE, said)

    await say("approve", "user:alice")
    await say("withdraw", "user:alice", "too early")
    await say("claim", "user:bob")
    await say("release", "user:tom", "bob is ill")
    await say("approve", "user:alice")
    await say("approve", "user:cfo")
    change = {"step": "paid", "action": "amend", "by": "user:tom", "value": {"key": "A-2"}}
    await handle.execute_update(REPAIR, change)
    await Topics(client, TASK_QUEUE).publish(PublishEvent(id="paid-2", topic="bank.paid", key="A-2"))
    await handle.result()
    return ["asked-again"]


async def out_of_time(client: Client) -> list[str]:
    """A wait ends, an event does not come, people are reminded, others are asked too, nobody answers; before that
    somebody comments and hands over, and changes what is decided on."""
    handle = await client.start_workflow(
        PROCESS_WORKFLOW, {"process": "out-of-time", "input": {}}, id="out-of-time", task_queue=TASK_QUEUE
    )
    await until_waiting(handle)
    said: tuple[dict[str, Any], ...] = (
        {"decision": "comment", "by": "user:alice", "comment": "a smaller one does"},
        {"decision": "delegate", "by": "user:alice", "to": "user:carol", "comment": "yours"},
        {"decision": "approve", "by": "user:carol", "edits": {"sku": "NB-13"}},
    )
    for each in said:
        await handle.execute_update(DECIDE, {"step": "change", **each})
    await failed(handle)
    return ["out-of-time"]


PATHS: tuple[Callable[[Client], Awaitable[list[str]]], ...] = (
    onboarding_approved,
    onboarding_rejected,
    onboarding_cancelled,
    started_again,
    invoice_two_people,
    migrated,
    delegated,
    agreed_by_equals,
    woken_by_events,
    worked_together,
    recorded,
    repaired,
    told,
    asked_again,
    out_of_time,
    trying.told_late,
    trying.tried,
    trying.turning,
    trying.altered,
    trying.taken_back,
    trying.unaccepted,
    trying.undone_by_hand,
    stopping.let_go,
    stopping.not_waited_for,
    stopping.planned_anew,
    # Their first histories are of before there was a record.
    partial(delegated, run="recorded-delegated"),
    partial(agreed_by_equals, run="recorded-by-equals"),
)
WITH_A_MODEL: tuple[Callable[[Client], Awaitable[list[str]]], ...] = (
    within_limits,
    over_limits,
    partial(within_limits, run="recorded-limits"),
    answering.short_of_room,
)
"""No script answers where an endpoint is set up, so these have a worker of their own."""


def channel_of(name: str, url: str, *processes: str) -> WebhookChannel:
    return WebhookChannel(name=name, kind="webhook", url=f"{url}/{name}", secret="env:HOOK", processes=processes)


def receiver() -> Callable[[Request], Answer]:
    """One channel takes all, one refuses all, one is down the first time, one always."""
    late: list[Request] = []

    def answer(request: Request) -> Answer:
        if request.path == "/late":
            late.append(request)
            return Answer(b"", status=503 if len(late) == 1 else 204)
        return Answer(b"", status={"/taken": 204, "/refused": 410}.get(request.path, 503))

    return answer


async def main() -> None:
    if wrong := kept.problems(FOLDER):
        raise SystemExit(f"{'; '.join(wrong)}. {kept.WAY_OUT}")
    os.environ["SUREFOOT_PACE"] = "0"
    os.environ["HOOK"] = "whsec_" + "c2VjcmV0" * 4
    with tempfile.TemporaryDirectory() as name, open_endpoint() as endpoint, open_service() as service:
        home = Path(name)
        service.answer = receiver()
        channels = (
            channel_of("taken", service.base, "told", "asked-again"),
            channel_of("refused", service.base, "told", "asked-again"),
            channel_of("late", service.base, "asks"),
            channel_of("down", service.base, "lasting"),
        )
        settings = Settings(home=home, notices=channels)
        async with open_server(home) as client:
            endpoint.default = answering.model()
            for paths, models in ((PATHS, {}), (WITH_A_MODEL, answering.models(endpoint.url))):
                async with at_work(client, settings.model_copy(update={"models": models})):
                    for path in paths:
                        for run in await path(client):
                            await keep(run.replace("/", "-"), client.get_workflow_handle(run))
        async with open_server(home, hasty(lasting.SUGGESTED_AFTER_EVENTS)) as client:
            endpoint.default = lasting.reader()
            models = {"roomy": ModelAlias(model="roomy", base_url=endpoint.url)}
            async with at_work(client, settings.model_copy(update={"models": models})):
                for parts in (lasting.lasting(client), lasting.long_reader(client, home), lasting.moved_on(client)):
                    async for part, handle in parts:
                        await keep(part, handle)
        down = settings.model_copy(update={"notices": (channel_of("down", service.base, "asks"),)})
        for parts in (lasting.forgotten(home), lasting.told_in_vain(home, partial(at_work, settings=down))):
            async for part, handle in parts:
                await keep(part, handle)


def at_work(client: Client, settings: Settings) -> AbstractAsyncContextManager[object]:
    connection = Connection(client=client, address="", ui=None, embedded=True)
    return running_worker(settings, connection, Catalog.load((*settings.folders, FOLDER / "team")))


async def keep(name: str, handle: Handle) -> None:
    file = FOLDER / f"{name}.json"
    if not file.exists():
        text = (await handle.fetch_history()).to_json()
        # Stack traces of failures name folders of the machine that recorded them.
        kept.keep(file, text.replace(str(PROJECT), "/surefoot").replace(sys.base_prefix, ""))
        sys.stdout.write(f"recorded {file.name}\n")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
