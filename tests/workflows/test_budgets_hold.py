"""Budgets hold where agents are stopped, hand over, wait for people and for each other."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from uuid_utils import uuid7

from contracts.agent import AgentView
from contracts.names import LEASE_SIGNAL, VIEW_QUERY
from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.workflows.cast import Cast, Script, team
from tests.workflows.office import Office, Run, open_office

ASK = '{ask: {from: [{any_of: ["user:ada"]}]}}'
LOOKS: Script = [[("do_look", {"fail_times": 0})]]


def models(endpoint: Endpoint) -> dict[str, ModelAlias]:
    return {
        name: ModelAlias(model=f"model-{name}", base_url=endpoint.url, input_price=1, output_price=10)
        for name in ("default", "cheap")
    }


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(client, home=tmp_path, models=models(endpoint)) as opened:
        yield opened


def pages(name: str, count: int) -> Script:
    return [[("do_fetch", {"page": number, "size": 5})] for number in range(count)]


async def start(office: Office, text: str) -> Run:
    return await office.start(office.definition(text))


async def test_a_cheaper_model_takes_over_once_also_when_the_task_is_handed_over(
    office: Office, endpoint: Endpoint
) -> None:
    hand_over = [("hand_over", {"to": "b", "reason": "yours"})]
    Cast(endpoint, lead=[*pages("lead", 4), hand_over], b=pages("b", 50))
    text = team(
        lead="tools: [do.fetch], hand_over: [b], limits: {turns: 4, at_limit: {model: cheap}}",
        b="tools: [do.fetch], limits: {turns: 50}",
    )
    run = await start(office, text)
    await run.parked("ask")
    assert len(endpoint.requests) == 5


async def test_what_an_agent_used_before_it_was_stopped_counts(office: Office, endpoint: Endpoint) -> None:
    Cast(endpoint, a=[*pages("a", 5), [("do_watch", {})]], b=["quick"], c=pages("c", 50))
    text = """
        process: stopped
        limits: {turns: 12}
        agents:
          a: {instructions: You are a., tools: [do.fetch, do.watch]}
          b: {instructions: You are b.}
          c: {instructions: You are c., tools: [do.fetch], limits: {turns: 100}}
        steps:
          a: {agent: a, task: Read}
          held: {tool: do.held}
          b: {agent: b, task: Say, needs: [held, a], join: any, cancel_rest: true}
          c: {agent: c, task: Read, needs: [b]}
    """
    run = await office.start(text)
    await office.started["a"].wait()
    office.gates["held"].set()
    view = await run.parked("c")
    assert len(endpoint.requests) == view.cost.calls == 12


@pytest.mark.slow
async def test_time_that_people_take_is_not_warned_of(
    time_skipping: WorkflowEnvironment, endpoint: Endpoint, tmp_path: Path
) -> None:
    Cast(endpoint, lead=[*pages("lead", 1), *pages("lead", 5)[1:], "done"])
    async with open_office(time_skipping.client, home=tmp_path, models=models(endpoint)) as office:
        run = await start(office, team(lead=f"tools: [do.fetch], limits: {{turns: 2, time: 2h, at_limit: {ASK}}}"))
        await run.waiting("ask/ask-1")
        await time_skipping.sleep(timedelta(hours=3))
        await run.decide("ask/ask-1", "approve", "user:ada", edits={"turns": 10})
        await run.handle.result()
        notes = (await run.view()).steps[0].notes
    assert [note.text for note in notes if "time" in note.text] == []


async def test_at_eighty_percent_of_the_runs_limit_there_is_one_warning(office: Office, endpoint: Endpoint) -> None:
    Cast(endpoint, a=pages("a", 50))
    text = """
        process: warned
        limits: {turns: 10}
        agents:
          a: {instructions: You are a., tools: [do.fetch], limits: {turns: 100}}
        steps:
          a: {agent: a, task: Read}
    """
    run = await office.start(text)
    view = await run.parked("a")
    assert len(endpoint.requests) == 10
    assert [note.text for note in view.steps[0].notes if note.kind == "warning"] == [
        "the run has used 80% of its limit of turns (10)"
    ]


async def test_warnings_more_and_the_end_of_a_budget_are_in_the_record(office: Office, endpoint: Endpoint) -> None:
    Cast(endpoint, a=[*pages("a", 6), "done"])
    run = await office.start("""
        process: budgeted
        limits: {turns: 6}
        agents:
          a:
            instructions: You are a.
            tools: [do.fetch]
            limits: {turns: 5, at_limit: {ask: {from: [any_of: [user:ada]]}}}
        steps:
          a: {agent: a, task: Read}
    """)
    await run.waiting("a/ask-1")
    await run.decide("a/ask-1", "approve", "user:ada", comment="go on", edits={"turns": 9})
    await run.parked("a")
    await run.repair("a", "skip", reason="enough")
    await run.handle.result()
    events = [(event.kind, event.by, event.step, event.reason) for event in await run.events("budget.")]
    assert events == [
        ("budget.raised", "user:ada", "a", "go on"),
        ("budget.warned", "system:surefoot", "a", "the run has used 83% of its limit of turns (6)"),
        ("budget.used_up", "system:surefoot", "a", "the run has no turns left"),
    ]
    (raised,) = await run.events("budget.raised")
    assert raised.data["more"] == {"turns": 9}


@pytest.mark.parametrize("edits", [{"turns": 20_000}, {"time": "1d"}, {"cost": 5}, {"turns": None}])
async def test_whatever_people_add_can_be_seen_and_lent_on(
    office: Office, endpoint: Endpoint, edits: dict[str, Any]
) -> None:
    Cast(endpoint, lead=[*pages("lead", 1), [("agent_a", {"task": "x"})], "done"], a=[[("do_held", {})], "yes"])
    run = await start(
        office,
        team(
            lead=f"tools: [do.fetch], agents: [a], limits: {{turns: 1, at_limit: {ASK}}}",
            a="tools: [do.held], limits: {turns: 10000}",
        ),
    )
    await run.waiting("ask/ask-1")
    await run.decide("ask/ask-1", "approve", "user:ada", edits=edits)
    if "turns" not in edits or edits["turns"] is None:
        await run.waiting("ask/ask-2")
        await run.decide("ask/ask-2", "approve", "user:ada", edits={"turns": 20})
    await asyncio.wait_for(office.started["ask"].wait(), 60)
    handle = office.client.get_workflow_handle(f"{run.id}/ask")
    seen = await handle.query(VIEW_QUERY, result_type=AgentView)
    assert seen.limits.turns > 1
    office.gates["ask"].set()
    await run.handle.result()


async def test_a_runs_money_is_used_to_its_end_and_it_is_named(office: Office, endpoint: Endpoint) -> None:
    def answer(asked: Asked) -> Answered:
        page = sum(message["role"] == "assistant" for message in asked.messages)
        wrote = min(300, asked.body.get("max_completion_tokens", 300))
        usage = (len(json.dumps(asked.messages)) // 4, wrote)
        return Answered(
            body=json.dumps(completion(asked, "", (("do_fetch", {"page": page, "size": 5}),), "stop", usage))
        )

    endpoint.default = answer
    text = f"""
        process: money
        limits: {{cost: 0.05}}
        agents:
          a: {{instructions: You are a., tools: [do.fetch], limits: {{turns: 100, at_limit: {ASK}}}}}
        steps:
          a: {{agent: a, task: Read}}
    """
    run = await office.start(text)
    view = await run.until(lambda view: bool(view.incidents or view.waiting))
    assert "the run has no cost left" in view.incidents[0].error.message
    assert 0.045 < view.cost.amount <= 0.05


@pytest.mark.slow
async def test_a_run_goes_on_when_an_agent_that_waits_for_more_is_gone(
    client: Client, endpoint: Endpoint, tmp_path: Path
) -> None:
    Cast(endpoint, a=pages("a", 50), b=[[("do_held", {})], "done"])
    text = """
        process: gone
        limits: {turns: 4}
        agents:
          a: {instructions: You are a., tools: [do.fetch], limits: {turns: 100}}
          b: {instructions: You are b., tools: [do.held]}
        steps:
          a: {agent: a, task: Read}
          b: {agent: b, task: Read}
    """
    queue = f"test-{uuid7()}"
    async with open_office(client, home=tmp_path, models=models(endpoint), queue=queue) as office:
        run = await office.start(text)
        await office.started["b"].wait()
        a = client.get_workflow_handle(f"{run.id}/a")
        async with asyncio.timeout(60):
            while "waits for more" not in (await a.query("view"))["last"]:
                await asyncio.sleep(0.02)
        office.gates["b"].set()
        lead = client.get_workflow_handle(f"{run.id}/b")
    # no worker: the other ends and gives back, and the one that waits is gone
    await a.terminate()
    request = {"id": 99, "step": "b", "child": f"{run.id}/b", "used": {}, "tokens": 1}
    await lead.terminate()
    await run.handle.signal(LEASE_SIGNAL, request)
    async with open_office(client, home=tmp_path, models=models(endpoint), queue=queue) as office:
        run.office = office
        await run.until(lambda view: {incident.step for incident in view.incidents} == {"a", "b"})
        await run.repair("a", "skip")
        await run.repair("b", "skip")
        await run.handle.result()
