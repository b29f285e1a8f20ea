"""A worker that ends lets go of the runs it has in memory, whatever each of them is at."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import WorkflowInstance

from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.cast import Cast
from tests.workflows.office import Office, Run, open_office

CALL = """
    agents: {b: {instructions: You are b., tools: [do.held]}}
    steps:
      b: {agent: b, task: Do it}
"""
ASK = """
    agents:
      b: {instructions: You are b., tools: [do.held], approve: [{tools: [do.held], from: [{any_of: [user:ann]}]}]}
    steps:
      b: {agent: b, task: Do it}
"""
DEADLINE = """
    steps:
      all: {steps: {b: {approval: {title: Go on?, from: [{any_of: [user:ann]}]}}}, deadline: 1h}
"""


async def called(office: Office, run: Run) -> None:
    await office.started["b"].wait()


async def asked(office: Office, run: Run) -> None:
    await run.until(lambda view: bool(view.waiting))


@pytest.mark.parametrize(("steps", "come_to_it"), [(ASK, asked), (CALL, called), (DEADLINE, asked)])
async def test_it_leaves_nothing_for_python_to_end(
    client: Client,
    endpoint: Endpoint,
    tmp_path: Path,
    steps: str,
    come_to_it: Callable[[Office, Run], Awaitable[None]],
) -> None:
    Cast(endpoint, b=[[("do_held", {})], "done"])
    model = {"default": ModelAlias(model="model-default", base_url=endpoint.url)}
    async with open_office(client, home=tmp_path, models=model) as office:
        await come_to_it(office, await office.start(f"    process: held-up{steps}"))
        tasks = tasks_of(office)
        assert not all(task.done() for task in tasks)
    assert [task for task in tasks if not task.done()] == []


def tasks_of(office: Office) -> list[asyncio.Task[Any]]:
    """What its runs have begun, each of which is an event loop of its own."""
    tasks = [each for each in gc.get_objects() if isinstance(each, asyncio.Task)]
    runs = [(task, task.get_loop()) for task in tasks]
    return [
        task for task, run in runs if isinstance(run, WorkflowInstance) and run.get_info().task_queue == office.queue
    ]
