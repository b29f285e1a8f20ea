"""Agents that work together outlast their histories, and their workers."""

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE
from contracts.run import RunResult
from contracts.settings import ModelAlias
from tests.business import Business
from tests.endpoint import Answered, Asked, Endpoint
from tests.servers import hasty, open_server
from tests.workflows.cast import Cast, SteadyCast, team
from tests.workflows.office import open_office

pytestmark = [pytest.mark.slow]


async def test_an_agent_that_continues_as_new_keeps_its_peers_and_what_they_said(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    questions = [[("peer_friend", {"question": f"Number {number}?"})] for number in range(8)]
    cast = Cast(endpoint, lead=[*questions, "thanks"], friend=[f"It is {number}." for number in range(8)])
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    async with (
        open_server(tmp_path, hasty(40)) as client,
        open_office(client, home=tmp_path, models=models) as office,
    ):
        run = await office.start(team(lead="peers: [friend], limits: {turns: 40}", friend="tools: []"))
        assert (await run.handle.result()).output == "thanks"
        lead = office.client.get_workflow_handle(f"{run.id}/ask")
        first = await anext(lead.fetch_history_events())
        assert first.workflow_execution_started_event_attributes.continued_execution_run_id
        view = await run.view()
    heard = [message["content"] for message in cast.asked["friend"][-1].messages[1:]]
    assert heard[0::2] == [f"Number {number}?" for number in range(8)]
    assert heard[1::2] == [f"It is {number}." for number in range(7)]
    assert view.cost.calls == 17
    assert len(view.steps[0].children) == 8


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_a_lead_whose_worker_is_killed_while_others_work_for_it_goes_on(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [("agent_a", {"task": "Do a."}), ("agent_b", {"task": "Do b."})]
    cast = SteadyCast(endpoint, lead=[both, "merged"], a=["a is done"], b=["b is done"])
    is_asked, may_answer = Event(), Event()

    def answer(asked: Asked) -> Answered:
        if cast.name_of(asked) != "b":
            return cast.answer(asked)
        is_asked.set()
        may_answer.wait(60)
        return cast.answer(asked)

    endpoint.default = answer
    folder = tmp_path / "processes" / "team"
    folder.mkdir(parents=True)
    (folder / "process.yaml").write_text(team(lead="agents: [a, b]", a="tools: []", b="tools: []"))
    monkeypatch.setenv("SUREFOOT_PROCESSES", str(tmp_path / "processes"))
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    business = Business(tmp_path / "home")
    business.home.mkdir()
    business.start_worker()
    try:
        client = await business.client()
        handle: WorkflowHandle[Any, RunResult] = await client.start_workflow(
            PROCESS_WORKFLOW, {"process": "team"}, id="team-1", task_queue=TASK_QUEUE, result_type=RunResult
        )
        assert await asyncio.to_thread(is_asked.wait, 60)
        business.kill_worker()
        business.start_worker()
        may_answer.set()
        assert (await handle.result()).output == "merged"
    finally:
        may_answer.set()
        business.stop()
    assert (len(cast.asked["lead"]), len(cast.asked["a"])) == (2, 1)
    assert [message["content"] for message in cast.asked["lead"][1].messages[-2:]] == ['"a is done"', '"b is done"']
