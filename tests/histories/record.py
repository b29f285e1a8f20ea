"""Record histories of the sample processes, to be replayed by every later version: `python -m tests.histories.record`.

Recorded files are never changed or removed; a new path of a workflow gets a new file.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.testing import WorkflowEnvironment

from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, SEARCH_ATTRIBUTES, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunView
from runtime.catalog import Catalog
from runtime.client import Connection, data_converter
from runtime.server import server_options, temporal_binary
from runtime.settings import PROJECT, Settings
from worker import running_worker

FOLDER = Path(__file__).parent
Handle = WorkflowHandle[Any, Any]


async def start(client: Client, process: str, run: str) -> Handle:
    sample = yaml.safe_load((PROJECT / "processes" / process / "sample.yaml").read_text())
    payload = {"process": process, "input": sample, "started_by": "user:hanna"}
    return await client.start_workflow(PROCESS_WORKFLOW, payload, id=run, task_queue=TASK_QUEUE)


async def until_waiting(handle: Handle) -> None:
    async with asyncio.timeout(60):
        while not (await view(handle)).waiting:
            await asyncio.sleep(0.1)


async def view(handle: Handle) -> RunView:
    async with asyncio.timeout(60):
        while True:
            try:
                seen: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
            except WorkflowQueryFailedError:  # the run loads its process first
                await asyncio.sleep(0.1)
            else:
                return seen


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


async def onboarding_cancelled(client: Client) -> list[str]:
    handle = await start(client, "employee-onboarding", "onboarding-cancelled")
    await until_waiting(handle)
    await handle.execute_update(CANCEL, {"by": "user:hanna", "reason": "another candidate"})
    await failed(handle)
    return ["onboarding-cancelled"]


async def failed(handle: Handle) -> None:
    try:
        await handle.result()
    except WorkflowFailureError:
        return
    raise AssertionError(f"{handle.id} was to fail")


PATHS: tuple[Callable[[Client], Awaitable[list[str]]], ...] = (
    onboarding_approved,
    onboarding_rejected,
    onboarding_cancelled,
    invoice_two_people,
)


async def main() -> None:
    os.environ["SUREFOOT_PACE"] = "0"
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        environment = await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(temporal_binary()),
            dev_server_extra_args=server_options(),
            search_attributes=SEARCH_ATTRIBUTES,
            data_converter=data_converter(settings),
        )
        async with environment:
            client = environment.client
            connection = Connection(client=client, address="", ui=None, embedded=True)
            async with running_worker(settings, connection, Catalog.load(settings.folders)):
                for path in PATHS:
                    for run in await path(client):
                        await record(client, run)


async def record(client: Client, run: str) -> None:
    file = FOLDER / f"{run.replace('/', '-')}.json"
    if not file.exists():
        text = (await client.get_workflow_handle(run).fetch_history()).to_json()
        # Stack traces of failures name folders of the machine that recorded them.
        file.write_text(text.replace(str(PROJECT), "/surefoot").replace(sys.base_prefix, ""))
        sys.stdout.write(f"recorded {file.name}\n")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
