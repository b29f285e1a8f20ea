"""A worker that ends lets go of the runs it has in memory, whatever each of them is at."""

import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

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
    monkeypatch: pytest.MonkeyPatch,
    steps: str,
    come_to_it: Callable[[Office, Run], Awaitable[None]],
) -> None:
    Cast(endpoint, b=[[("do_held", {})], "done"])
    model = {"default": ModelAlias(model="model-default", base_url=endpoint.url)}
    async with open_office(client, home=tmp_path, models=model) as office:
        await come_to_it(office, await office.start(f"    process: held-up{steps}"))
    said: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    gc.collect()
    assert said == []
