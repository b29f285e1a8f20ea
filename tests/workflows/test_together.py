"""Agents that work for each other: tasks and answers, peers, debates, handing over; limits, errors and stops carry."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)

from contracts.agent import AgentView
from contracts.names import VIEW_QUERY
from contracts.settings import ModelAlias
from tests.endpoint import Endpoint
from tests.workflows.cast import Cast, Script, team
from tests.workflows.office import Office, Run, has_dealt_with, open_office


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


async def start(office: Office, text: str) -> Run:
    return await office.start(office.definition(text))


async def test_a_lead_gives_tasks_to_specialists_at_once_and_merges(office: Office, endpoint: Endpoint) -> None:
    both = [("agent_legal", {"task": "Is it legal?", "context": {"case": 7}}), ("agent_money", {"task": "Is it dear?"})]
    cast = Cast(endpoint, lead=[both, "go ahead"], legal=["it is legal"], money=[[("do_held", {})], "it is cheap"])
    run = await start(office, team(lead="agents: [legal, money]", legal="tools: []", money="tools: [do.held]"))
    await office.started["ask"].wait()
    lead = office.client.get_workflow_handle(f"{run.id}/ask")
    seen: AgentView = await lead.query(VIEW_QUERY, result_type=AgentView)
    while seen.children[0].status == "running":  # The other one is held: both are at work at the same time.
        seen = await lead.query(VIEW_QUERY, result_type=AgentView)
    assert [(child.tool, child.status) for child in seen.children] == [
        ("agent.legal", "completed"),
        ("agent.money", "running"),
    ]
    office.gates["ask"].set()
    assert (await run.handle.result()).output == "go ahead"
    assert cast.asked["legal"][0].messages[1]["content"] == 'Is it legal?\n\nContext:\n{"case":7}'
    assert [message["content"] for message in cast.asked["lead"][1].messages[-2:]] == ['"it is legal"', '"it is cheap"']
    view = await run.view()
    assert view.cost.calls == 5
    step = view.steps[0]
    assert step.tokens == 5 * 120
    assert [child.usage.calls for child in step.children] == [1, 2]
    assert all(child.id.startswith(f"{run.id}/ask/agent.") for child in step.children)


async def test_delegation_is_typed_in_and_out(office: Office, endpoint: Endpoint) -> None:
    wrong, right = ("agent_rater", {"amount": "much"}), ("agent_rater", {"amount": 9})
    cast = Cast(endpoint, lead=[[wrong], [right], "done"], rater=["high", '{"risk": "high"}'])
    taken = "input: {type: object, required: [amount], properties: {amount: {type: number}}}"
    given = "output: {type: object, required: [risk], properties: {risk: {enum: [low, high]}}}"
    run = await start(office, team(lead="agents: [rater]", rater=f"description: Rates risks., {taken}, {given}"))
    await run.handle.result()
    offered = cast.asked["lead"][0].body["tools"][0]["function"]
    assert offered["description"].endswith("Rates risks.")
    assert offered["parameters"]["required"] == ["amount"]
    assert "amount" in cast.told("lead", 1)
    assert cast.told("lead", 1).startswith("error: ")
    assert cast.told("lead", 2) == '{"risk":"high"}'
    assert '{"amount":9}' in cast.asked["rater"][0].messages[1]["content"]
    assert "not JSON" in cast.told("rater", 1)


async def test_the_output_of_a_step_goes_before_its_agents_own(office: Office, endpoint: Endpoint) -> None:
    Cast(endpoint, lead=['{"sum": 1}', "3"])
    text = team(lead="output: {type: object, required: [sum]}", step="output: {type: integer}")
    run = await start(office, text)
    assert (await run.handle.result()).output == 3


async def test_what_keeps_another_agent_from_answering_goes_back_to_the_model(
    office: Office, endpoint: Endpoint
) -> None:
    looks: Script = [[("do_look", {})]]
    cast = Cast(endpoint, lead=[[("agent_looper", {"task": "Look."})], "it loops"], looper=looks)
    run = await start(office, team(lead="agents: [looper]", looper="tools: [do.look], limits: {turns: 2}"))
    assert (await run.handle.result()).output == "it loops"
    assert cast.told("lead").startswith("error: looper: looper stopped at its limit: 2 turns used of 2")
    view = await run.view()
    assert view.cost.calls == 4
    assert [(child.status, child.usage.calls) for child in view.steps[0].children] == [("failed", 2)]


async def test_those_who_work_for_an_agent_share_what_it_has_left_and_it_stops_at_its_limit(
    office: Office, endpoint: Endpoint
) -> None:
    looks: Script = [[("do_look", {})]]
    both = [("agent_a", {"task": "Look."}), ("agent_b", {"task": "Look."})]
    cast = Cast(endpoint, lead=[both], a=looks, b=looks)
    run = await start(
        office, team(lead="agents: [a, b], limits: {turns: 8}", a="tools: [do.look]", b="tools: [do.look]")
    )
    error = (await run.parked("ask")).incidents[0].error
    assert (error.type, error.message) == (
        "LimitReached",
        "lead: lead stopped at its limit: 8 turns used of 8; raise agents.lead.limits.turns",
    )
    # 8 turns: 1 to ask both, 1 kept for what comes next, 6 shared.
    assert (len(cast.asked["a"]), len(cast.asked["b"]), len(cast.asked["lead"])) == (3, 3, 2)
    assert (await run.view()).cost.calls == 8


async def test_one_for_whom_nothing_is_left_is_not_asked(office: Office, endpoint: Endpoint) -> None:
    cast = Cast(endpoint, lead=[[("agent_a", {"task": "Try."})], "alone then"], a=["never"])
    run = await start(office, team(lead="agents: [a], limits: {turns: 2}", a="tools: []"))
    assert (await run.handle.result()).output == "alone then"
    assert cast.told("lead") == "error: lead has no turns left to give; raise agents.lead.limits.turns"
    assert cast.asked["a"] == []


async def test_agents_may_call_on_each_other_down_to_the_depth(office: Office, endpoint: Endpoint) -> None:
    ask_b, ask_lead = [("agent_b", {"task": "Go on."})], [("agent_lead", {"task": "Go on."})]
    cast = Cast(endpoint, lead=[ask_b, "deep enough", "done"], b=[ask_lead, "back"])
    run = await start(office, team(lead="agents: [b]", b="agents: [lead]"))
    assert (await run.handle.result()).output == "done"
    assert [bool(asked.body.get("tools")) for asked in cast.asked["lead"]] == [True, False, True]
    assert cast.told("b") == '"deep enough"'


async def test_a_peer_remembers_what_it_was_asked_before(office: Office, endpoint: Endpoint) -> None:
    twice = [("peer_friend", {"question": "One?"}), ("peer_friend", {"question": "Two?"})]
    cast = Cast(
        endpoint, lead=[twice, [("peer_friend", {"question": "Three?"})], "thanks"], friend=["yes", "no", "maybe"]
    )
    run = await start(office, team(lead="peers: [friend]", friend="tools: []"))
    assert (await run.handle.result()).output == "thanks"
    heard = [[message["content"] for message in asked.messages[1:]] for asked in cast.asked["friend"]]
    assert heard == [["One?"], ["One?", "yes", "Two?"], ["One?", "yes", "Two?", "no", "Three?"]]
    assert [
        json.loads(message["content"]) for message in cast.asked["lead"][2].messages if message["role"] == "tool"
    ] == [
        "yes",
        "no",
        "maybe",
    ]


AMONG = "debate: {among: [a, b], rounds: 3}"


async def test_a_debate_ends_when_all_agree(office: Office, endpoint: Endpoint) -> None:
    cast = Cast(endpoint, lead=[[("debate", {"question": "Red?"})], "blue"], a=["red", "blue"], b=["blue"])
    run = await start(office, team(lead=AMONG, a="tools: []", b="tools: []"))
    assert (await run.handle.result()).output == "blue"
    assert json.loads(cast.told("lead")) == {
        "agreed": True,
        "rounds": [{"a": "red", "b": "blue"}, {"a": "blue", "b": "blue"}],
    }
    second = json.loads(cast.asked["a"][1].messages[1]["content"].partition("Context:\n")[2])
    assert second == {"round": 2, "of": 3, "your_position": "red", "others": {"b": "blue"}}


async def test_a_debate_ends_after_its_rounds(office: Office, endpoint: Endpoint) -> None:
    cast = Cast(endpoint, lead=[[("debate", {"question": "Red?"})], "neither"], a=["red"], b=["blue"])
    run = await start(office, team(lead=AMONG, a="tools: []", b="tools: []"))
    await run.handle.result()
    told = json.loads(cast.told("lead"))
    assert (told["agreed"], len(told["rounds"])) == (False, 3)
    assert len(cast.asked["a"]) == len(cast.asked["b"]) == 3


async def test_who_fails_in_a_debate_is_named_and_the_others_positions_stand(
    office: Office, endpoint: Endpoint
) -> None:
    cast = Cast(endpoint, lead=[[("debate", {"question": "Red?"})], "red"], a=["red"], b=[[("do_look", {})]])
    run = await start(office, team(lead=AMONG, a="tools: []", b="tools: [do.look], limits: {turns: 1}"))
    assert (await run.handle.result()).output == "red"
    told = json.loads(cast.told("lead"))
    assert (told["agreed"], told["rounds"]) == (False, [{"a": "red"}])
    assert "limit" in told["failed"]["b"]


async def test_another_agent_goes_on_with_the_task_and_answers_in_its_place(office: Office, endpoint: Endpoint) -> None:
    hand_over = ("hand_over", {"to": "expert", "reason": "beyond me", "summary": "It is red."})
    lead = [[("do_work", {"what": "first"}), hand_over], [hand_over]]
    cast = Cast(endpoint, lead=lead, expert=[[("do_look", {}), ("do_work", {"what": "first"})], "solved"])
    text = team(
        lead="tools: [do.work], hand_over: [expert]", expert="tools: [do.look], limits: {turns: 9}", step="with: {n: 1}"
    )
    run = await start(office, text)
    assert (await run.handle.result()).output == "solved"
    assert "call it alone" in cast.told("lead")
    told = cast.asked["expert"][0].messages[1]["content"]
    assert told.startswith("Decide it.")
    given = {"by": "lead", "reason": "beyond me", "summary": "It is red."}
    assert json.loads(told.partition("Context:\n")[2]) == {"n": 1, "handed_over": [given]}
    assert cast.tools_of("expert") == ["do_look", "result_read"]
    assert "do_work is not one of your tools" in cast.told("expert")
    assert [what for _, _, what in office.ledger] == ["first"]
    view = await run.view()
    told_of = [note.text for note in view.steps[0].notes if note.kind == "handover"]
    assert told_of == ["lead handed over to expert: beyond me"]
    assert view.cost.calls == 4


async def test_a_task_is_handed_over_a_bounded_number_of_times(office: Office, endpoint: Endpoint) -> None:
    to_b = [[("hand_over", {"to": "b", "reason": "yours"})]]
    to_lead = [[("hand_over", {"to": "lead", "reason": "no, yours"})]]
    cast = Cast(endpoint, lead=to_b, b=[*to_lead * 3, "so be it"])
    run = await start(office, team(lead="hand_over: [b]", b="hand_over: [lead]"))
    assert (await run.handle.result()).output == "so be it"
    assert "hand_over is not one of your tools" in cast.told("b")
    notes = (await run.view()).steps[0].notes
    assert [note.kind for note in notes].count("handover") == 5


async def test_what_others_use_counts_in_the_runs_budget_and_never_exceeds_it(
    office: Office, endpoint: Endpoint
) -> None:
    looks: Script = [[("do_look", {})]]
    both = [("agent_a", {"task": "Look."}), ("agent_b", {"task": "Look."})]
    cast = Cast(endpoint, lead=[both], a=looks, b=looks)
    run = await start(
        office, team(more="limits: {turns: 9}", lead="agents: [a, b]", a="tools: [do.look]", b="tools: [do.look]")
    )
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "LimitReached"
    assert "the run has no turns left" in error.message
    assert sum(map(len, cast.asked.values())) == (await run.view()).cost.calls == 9


async def test_stopping_a_run_stops_those_who_work_for_its_agents_and_waits_for_a_write(
    office: Office, endpoint: Endpoint
) -> None:
    Cast(endpoint, lead=[[("agent_a", {"task": "Do it."})], "done"], a=[[("do_held", {})], "done"])
    run = await start(office, team(lead="agents: [a]", a="tools: [do.held]"))
    await office.started["ask"].wait()
    await run.cancel()
    (found,) = await _children(office, run)
    helper = office.client.get_workflow_handle(found.id)
    await has_dealt_with(helper, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    assert (await helper.describe()).status is WorkflowExecutionStatus.RUNNING
    office.gates["ask"].set()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert [step for _, step, _ in office.ledger] == ["ask"]
    # They failed with what they had used, which a cancelled workflow could not tell.
    assert (await helper.describe()).status is WorkflowExecutionStatus.FAILED
    assert (await run.view()).cost.calls == 2


async def _children(office: Office, run: Run) -> list[WorkflowExecution]:
    """Those who work for the agent of a run, once the server lists them."""
    async with asyncio.timeout(60):
        while True:
            query = f"WorkflowId STARTS_WITH '{run.id}/ask/'"
            if found := [found async for found in office.client.list_workflows(query)]:
                return found
            await asyncio.sleep(0.05)
