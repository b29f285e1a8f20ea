"""A total outage of the model under many running agents: the endpoint is left in peace, and every run goes on after."""

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.conversations import SqliteConversations
from activities.model.call import ModelCall
from contracts.agent import AgentRequest, AgentResult
from contracts.board import ModelState
from contracts.names import AGENT_WORKFLOW
from contracts.settings import ModelAlias
from runtime.sandbox import patient, workflow_runner
from tests.endpoint import Answered, Asked, completion, open_endpoint
from workflows.agent.workflow import AgentWorkflow

RUNS = 100
PROBES = 40
"""Of the outage: far more tries than a call has attempts. A tenth of them are those that opened the breaker."""

HEALED_WITHIN = 30.0
"""Seconds from healing to the closed breaker."""

DOWN = (Answered(503, '{"error": {"message": "down"}}'), Answered(cut=10, exact=True), Answered(500))
"""How an endpoint is down: it says so, or its line dies in the midst of an answer, or it says nothing."""


async def until(models: ModelCall, seconds: float, holds: Callable[[ModelState], bool]) -> None:
    """Until this holds of the one model, as the worker itself finds it."""
    async with asyncio.timeout(seconds):
        while not any(holds(state) for state in models.states()):
            await asyncio.sleep(0.05)


def answer(asked: Asked) -> Answered:
    return Answered(body=json.dumps(completion(asked, "done", usage=(10, 5))))


async def start(client: Client, queue: str, number: int) -> WorkflowHandle[Any, AgentResult]:
    name = f"agent-{uuid7()}"
    request = AgentRequest(
        run=name,
        step="ask",
        process="outage",
        agent="clerk",
        instructions="You are a clerk.",
        models=("default",),
        task=f"Do number {number}.",
    )
    return await client.start_workflow(AGENT_WORKFLOW, request, id=name, task_queue=queue, result_type=AgentResult)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_outage_is_probed_and_no_run_is_lost(client: Client, tmp_path: Path) -> None:
    queue, faces = f"outage-{uuid7()}", itertools.cycle(DOWN)
    with open_endpoint() as endpoint:
        endpoint.default = lambda asked: next(faces)
        store = SqliteConversations(tmp_path / "c.db")
        alias = ModelAlias(model="m", base_url=endpoint.url, probe_every=timedelta(seconds=1))
        models = ModelCall(store, lambda process: None, {"default": alias}, environment={})
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[AgentWorkflow],
            activities=[models.activity()],
            workflow_runner=workflow_runner(),
            max_concurrent_activities=200,
        )
        async with patient(worker):
            runs = await asyncio.gather(*(start(client, queue, number) for number in range(RUNS)))
            await until(models, 60, lambda state: state.waiting >= 0.9 * RUNS)
            await until(models, 120, lambda state: state.probes >= PROBES)
            upstream = len(endpoint.requests)
            assert upstream <= 1.2 * sum(state.probes for state in models.states())
            endpoint.default = answer
            await until(models, HEALED_WITHIN, lambda state: state.state == "closed")
            results = await asyncio.wait_for(asyncio.gather(*(run.result() for run in runs)), 90)
        await models.close()
        await store.close()
    assert [result.output for result in results] == ["done"] * RUNS
    assert all(result.usage.calls == 1 for result in results)
