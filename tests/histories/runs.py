"""The runs whose histories are recorded: how they are started, waited for, and decided on."""

import asyncio
from collections.abc import Callable
from typing import Any

import yaml
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.names import DECIDE, PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunView
from runtime.settings import PROJECT
from runtime.watch import ask

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


async def failed(handle: Handle) -> None:
    try:
        await handle.result()
    except WorkflowFailureError:
        return
    raise AssertionError(f"{handle.id} was to fail")
