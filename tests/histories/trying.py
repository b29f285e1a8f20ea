"""Paths on which something does not go at once, or not at all."""

from functools import partial
from typing import Any

from temporalio.client import Client

from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE
from runtime.catalog import Catalog
from runtime.settings import PROJECT
from tests.histories.runs import decided, failed, parked, until, until_completed, until_waiting


async def tried(client: Client) -> list[str]:
    """Calls are tried again by themselves and by an operator; parts are changed, paused, and stopped with the run."""
    payload = {"process": "tried", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="tried", task_queue=TASK_QUEUE)

    async def say(action: str, step: str = "", **more: Any) -> None:
        await handle.execute_update(REPAIR, {"step": step, "action": action, "by": "user:tom", **more})

    await until_completed(handle, "paid", "reached", "counted")
    await say("retry", "later")
    await until_completed(handle, "later")
    await say("pause", reason="lunch")
    await say("resume")
    await say("amend", "part", value={"part": "Bob"})
    await handle.execute_update(CANCEL, {"by": "user:tom", "reason": "enough"})
    await failed(handle)
    return ["tried"]


async def told_late(client: Client) -> list[str]:
    """A run that ends before somebody could be told, and waits a little for it."""
    payload = {"process": "asks", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="told-late", task_queue=TASK_QUEUE)
    await decided(handle, "ask", "user:alice")
    await handle.result()
    return ["told-late"]


async def turning(client: Client) -> list[str]:
    """Hundreds of rounds without a pause, inside a deadline."""
    payload = {"process": "turning", "input": {}}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="turning", task_queue=TASK_QUEUE)
    await handle.result()
    return ["turning"]


async def altered(client: Client) -> list[str]:
    """A run that is refused, since somebody changed its definition after it was compiled."""
    definition = Catalog.load([PROJECT / "processes"]).definition("order-desk").model_dump(mode="json")
    payload = {"process": "order-desk", "input": {}, "definition": {**definition, "hash": "0" * 64}}
    await failed(await client.start_workflow(PROCESS_WORKFLOW, payload, id="altered", task_queue=TASK_QUEUE))
    return ["altered"]


async def taken_back(client: Client) -> list[str]:
    """What came after what is not told by the needs alone: one step stands in for another, one is completed by hand
    while one of its needs still waits."""
    payload = {"process": "taken-back", "input": {}, "started_by": "user:hanna"}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="taken-back", task_queue=TASK_QUEUE)
    await until(handle, lambda seen: {incident.step for incident in seen.incidents} == {"by_hand"})
    meeting = {"id": "C-0", "title": "Lunch", "day": "2026-12-01"}
    said = {"step": "by_hand", "action": "complete", "value": meeting, "by": "user:tom"}
    await handle.execute_update(REPAIR, said)
    await until_completed(handle, "last")
    await handle.execute_update(DECIDE, {"step": "agree", "decision": "reject", "by": "user:mia", "comment": "no"})
    await failed(handle)
    return ["taken-back"]


async def unaccepted(client: Client) -> list[str]:
    """A step and a sub-process whose output is not accepted are done once more, otherwise; all that both did is taken
    back."""
    payload = {"process": "unaccepted", "input": {}, "started_by": "user:hanna"}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="unaccepted", task_queue=TASK_QUEUE)
    await until(handle, lambda seen: {incident.step for incident in seen.incidents} == {"meet", "part"})
    for step, value in (
        ("meet", {"title": "Welcome", "day": "2026-12-01", "people": ["hanna"]}),
        ("part", {"title": "Lunch"}),
    ):
        said = {"step": step, "action": "amend", "value": value, "by": "user:tom"}
        await handle.execute_update(REPAIR, said)
    await until_waiting(handle)
    await handle.execute_update(CANCEL, {"by": "user:tom", "reason": "nobody comes"})
    await failed(handle)
    return ["unaccepted", "unaccepted/part", "unaccepted/part~1"]


async def undone_by_hand(client: Client) -> list[str]:
    """What cannot be taken back is tried again, with other arguments, left as it is, and taken back by hand."""
    payload = {"process": "undone-by-hand", "input": {}, "started_by": "user:hanna"}
    handle = await client.start_workflow(PROCESS_WORKFLOW, payload, id="undone-by-hand", task_queue=TASK_QUEUE)
    await until_waiting(handle)
    await handle.execute_update(CANCEL, {"by": "user:tom", "reason": "nobody comes"})
    for step, asked, said in (
        ("yard", 1, {"action": "retry"}),
        ("yard", 2, {"action": "amend", "value": {"number": "R-2"}}),
        ("hall", 1, {"action": "skip"}),
        ("room", 1, {"action": "complete"}),
    ):
        await until(handle, partial(parked, f"{step}: no booking has this number, asked {asked} times"))
        await handle.execute_update(REPAIR, {"step": step, "by": "user:tom", "reason": "known", **said})
    await failed(handle)
    return ["undone-by-hand"]
