"""The runs whose histories are recorded: how they are started, waited for, and decided on."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.migration import Migration
from contracts.names import DECIDE, MIGRATE, PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunView, definition_hash
from runtime.catalog import Catalog
from runtime.settings import PROJECT
from runtime.watch import ask

FOLDER = Path(__file__).parent
Handle = WorkflowHandle[Any, Any]


async def start(client: Client, process: str, run: str) -> Handle:
    sample = yaml.safe_load((PROJECT / "processes" / process / "sample.yaml").read_text())
    payload = {"process": process, "input": sample, "started_by": "user:hanna"}
    return await client.start_workflow(PROCESS_WORKFLOW, payload, id=run, task_queue=TASK_QUEUE)


async def until_waiting(handle: Handle) -> None:
    await until(handle, lambda seen: bool(seen.waiting))


async def until_completed(handle: Handle, *steps: str) -> None:
    await until(handle, lambda seen: {*steps} <= {step.id for step in seen.steps if step.status == "completed"})


async def until(handle: Handle, holds: Callable[[RunView], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds(await view(handle)):
            await asyncio.sleep(0.1)


async def until_it_says(handle: Handle, text: str, times: int = 1) -> None:
    """Until a history, as JSON, has this so many times."""
    async with asyncio.timeout(60):
        while await _said(handle, text) < times:
            await asyncio.sleep(0.1)


async def _said(handle: Handle, text: str) -> int:
    try:
        return (await handle.fetch_history()).to_json().count(text)
    except RPCError:  # the workflow is still to be started
        return 0


def asks(step: str, seen: RunView) -> bool:
    return any(wait.step == step for wait in seen.waiting)


def parked(why: str, seen: RunView) -> bool:
    return any(why in incident.error.message for incident in seen.incidents)


async def view(handle: Handle) -> RunView:
    async with asyncio.timeout(60):
        while True:
            try:
                seen: RunView = await ask(handle, VIEW_QUERY, RunView)
            except (WorkflowQueryFailedError, RPCError):  # the run is still to be started, or loads its process first
                await asyncio.sleep(0.1)
            else:
                return seen


async def decided(handle: Handle, step: str, by: str, reason: str = "") -> None:
    """Approve a step once it asks, for this reason."""
    await until(
        handle,
        lambda seen: any(
            wait.step == step and str(wait.show.get("reason", "")).startswith(reason) for wait in seen.waiting
        ),
    )
    await handle.execute_update(DECIDE, {"step": step, "decision": "approve", "by": by})


async def moved(handle: Handle, folder: Path, process: str) -> None:
    """Move a run to the next version of its process, which is otherwise the same."""
    known = Catalog.load([folder]).definition(process)
    version = known.process.model_copy(update={"version": known.process.version + 1})
    newer = known.model_copy(update={"process": version})
    newer = newer.model_copy(update={"hash": definition_hash(newer.model_dump(mode="json"))})
    await handle.execute_update(MIGRATE, Migration(by="user:tom", reason="mended", definition=newer))


async def failed(handle: Handle) -> None:
    try:
        await handle.result()
    except WorkflowFailureError:
        return
    raise AssertionError(f"{handle.id} was to fail")
