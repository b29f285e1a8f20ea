"""The process file of each pattern, and what its tests do to a run of it."""

import asyncio
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError
from uuid_utils import uuid7

from contracts.events import PublishEvent
from contracts.run import RunResult
from contracts.tools import ToolSpec
from language.load import load_process
from tests.workflows.office import Office, Run

FOLDER = Path(__file__).parent
PATIENCE = 60
"""Seconds until a test gives up."""
_TOOLS: dict[str, ToolSpec] = {}  # the same in every office, and slow to make


async def start(office: Office, name: str, data: Any = None) -> Run:
    """A run of the file of this name, which may run itself as a child."""
    process = name.partition("-")[2]
    if not _TOOLS:
        _TOOLS.update({made.spec.name: made.spec for made in office.tools})
    definition = load_process((FOLDER / f"{name}.yaml").read_text(), f"{name}.yaml", tools=_TOOLS, processes=[process])
    office.children[process] = definition
    return await office.start(definition, data)


async def child(run: Run, step: str) -> Run:
    """The run that a `process` step has started, once it can be asked."""
    view = await run.until(lambda view: any(found.id == step and found.child for found in view.steps))
    started = next(found.child for found in view.steps if found.id == step)
    made = Run(run.office, run.office.client.get_workflow_handle(str(started), result_type=RunResult))
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await made.view()
            except (RPCError, WorkflowQueryFailedError):  # not started yet, or still loading its process
                await asyncio.sleep(0.02)
            else:
                return made


async def under_way(office: Office, *steps: str) -> None:
    """Until calls of all these steps are under way at once."""
    async with asyncio.timeout(PATIENCE):
        for step in steps:
            await office.started[step].wait()


async def ended(run: Run) -> RunResult:
    """Until the run has ended: one that waits for ever fails its own test, and holds up no other."""
    async with asyncio.timeout(PATIENCE):
        return await run.handle.result()


def let_go(office: Office, *steps: str) -> None:
    for step in steps:
        office.gates[step].set()


async def publish(office: Office, topic: str, key: str | None = None, **data: Any) -> None:
    """An event from outside, as `starter.py event` sends it."""
    await office.topics.publish(PublishEvent(id=str(uuid7()), topic=topic, data=data, key=key))
