"""A total outage of the model under many running agents: the endpoint is left in peace, and every run goes on after."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.conversations import SqliteConversations
from activities.model.call import ModelCall
from contracts.agent import AgentRequest, AgentResult
from contracts.board import WORKERS, BoardStore, ModelState, WorkerModels
from contracts.names import AGENT_WORKFLOW
from contracts.settings import ModelAlias
from runtime.sandbox import patient, workflow_runner
from tests.endpoint import Answered, Asked, completion, open_endpoint
from workflows.agent.workflow import AgentWorkflow

RUNS = 100
PROBES = 20
TOLD_LATER = 2
"""Probes that the worker may have made since it told of them."""

HEALED_WITHIN = 30.0
"""Seconds from healing to the closed breaker."""


class Memory(BoardStore):
    """The board of one test."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    async def read(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self.entries.items() if key.startswith(prefix)}

    async def write(self, key: str, value: str | None) -> None:
        if value is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = value

    def state(self) -> ModelState | None:
        for key, value in self.entries.items():
            if key.startswith(WORKERS):
                return next(iter(WorkerModels.model_validate_json(value).models), None)
        return None

    async def until(self, state: str, seconds: float) -> ModelState:
        """How the one model stands, once it stands so."""
        async with asyncio.timeout(seconds):
            while (found := self.state()) is None or found.state != state:
                await asyncio.sleep(0.05)
            return found


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
@pytest.mark.parametrize("failing", [Answered(503, '{"error": {"message": "down"}}'), Answered(cut=10)])
async def test_an_outage_is_probed_and_no_run_is_lost(client: Client, tmp_path: Path, failing: Answered) -> None:
    queue, board = f"outage-{uuid7()}", Memory()
    with open_endpoint() as endpoint:
        endpoint.default = lambda asked: failing
        store = SqliteConversations(tmp_path / "c.db")
        models = ModelCall(
            store,
            lambda process: None,
            {"default": ModelAlias(model="m", base_url=endpoint.url)},
            environment={},
            board=board,
        )
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[AgentWorkflow],
            activities=[models.activity()],
            workflow_runner=workflow_runner(),
            max_concurrent_activities=200,
        )
        async with patient(worker):
            runs = [await start(client, queue, number) for number in range(RUNS)]
            await board.until("open", 60)
            async with asyncio.timeout(200):
                while _probes(board) < PROBES:  # far more tries than the attempts of a call
                    await asyncio.sleep(0.2)
            assert len(endpoint.requests) <= 1.2 * (_probes(board) + TOLD_LATER)
            endpoint.default = answer
            await board.until("closed", HEALED_WITHIN)
            results = await asyncio.wait_for(asyncio.gather(*(run.result() for run in runs)), 90)
        await models.close()
        await store.close()
    assert [result.output for result in results] == ["done"] * RUNS
    assert all(result.usage.calls == 1 for result in results)


def _probes(board: Memory) -> int:
    state = board.state()
    return 0 if state is None else state.probes
