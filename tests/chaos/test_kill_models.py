"""kill -9 of the worker when a model has answered and the server does not know of it: no answer is asked for twice."""

import json
from pathlib import Path

import pytest

from contracts.faults import Faults
from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunResult, RunView
from language.load import load_process
from runtime.watch import ask
from tests.chaos.nursery import PROCESSES
from tests.chaos.play import Stage
from tests.chaos.world import open_world
from tests.endpoint import open_endpoint

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

TEXT = """
process: letters
agents:
  writer: {instructions: You write.}
steps:
  write: {agent: writer, task: Write to Ada.}
  send: {needs: [write], goal: Send it., agents: [writer]}
"""
PLAN = {"steps": {"wait": {"wait": "0s"}}, "output": "sent"}
USED = (300, 40)
"""Tokens of each answer, in and out."""


async def test_a_worker_killed_after_an_agents_and_a_planners_answer_asks_for_none_again_and_counts_it_once(
    stage: Stage, tmp_path: Path
) -> None:
    faults = Faults(namespace="default", at=("*/turn-*:between",))
    definition = load_process(TEXT, "letters.yaml", tools=stage.catalog.specs, processes=())
    with open_endpoint() as endpoint:
        endpoint.say("Dear Ada, good day.", usage=USED)
        endpoint.say(json.dumps(PLAN), usage=USED)
        models = {"default": {"model": "m", "base_url": endpoint.url, "answer_by": "schema"}}
        environment = {
            PROCESSES: "",
            "SUREFOOT_MODELS": json.dumps(models),
            "SUREFOOT_FAULTS": faults.model_dump_json(),
        }
        async with open_world(tmp_path / "world", stage.nursery, environment) as world:
            client = await world.client()
            handle = await client.start_workflow(
                PROCESS_WORKFLOW,
                {"process": "letters", "input": {}, "definition": definition},
                id="letters-chaos",
                task_queue=TASK_QUEUE,
                result_type=RunResult,
            )
            assert (await handle.result()).status == "completed"
            view: RunView = await ask(handle, VIEW_QUERY, RunView)
            died = [fault for fault, _ in world.faults()]
        assert died == ["between"] * 2
        assert len(endpoint.requests) == 2
    assert (view.cost.calls, view.cost.tokens) == (2, 2 * sum(USED))
