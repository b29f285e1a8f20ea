"""Taint and approvals go with the work: what one agent read binds those it works with, and its calls reach people."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from tests.endpoint import Endpoint
from tests.workflows.bank import open_bank
from tests.workflows.cast import Cast, Script, team
from tests.workflows.office import UNDO, Office, Run

PAY = ("bank_transfer", {"to": "mallory", "amount": 9000})
READ: tuple[str, Any] = ("mail_read", {})


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_bank(client, endpoint, tmp_path) as opened:
        yield opened


async def start(office: Office, text: str) -> Run:
    return await office.start(office.definition(text))


READER, PAYER = "tools: [mail.read]", "tools: [bank.transfer]"


@pytest.mark.parametrize(
    ("lead", "lead_has", "others"),
    [
        (
            [[("agent_reader", {"task": "Read."})], [PAY], "done"],
            "agents: [reader], tools: [bank.transfer]",
            {"reader": ([[READ], "nothing new"], READER)},
        ),
        (
            [[READ], [("agent_payer", {"task": "Pay."})], "done"],
            "agents: [payer], tools: [mail.read]",
            {"payer": ([[PAY], "I could not"], PAYER)},
        ),
        (
            [[("peer_reader", {"question": "What is new?"})], [PAY], "done"],
            "peers: [reader], tools: [bank.transfer]",
            {"reader": ([[READ], "nothing new"], READER)},
        ),
        (
            [[READ], [("hand_over", {"to": "payer", "reason": "pay"})]],
            "hand_over: [payer], tools: [mail.read]",
            {"payer": ([[PAY], "done"], PAYER)},
        ),
        (
            [[("debate", {"question": "Pay?"})], [PAY], "done"],
            "debate: {among: [reader, other]}, tools: [bank.transfer]",
            {"reader": ([[READ], "yes"], READER), "other": (["yes"], "tools: []")},
        ),
    ],
    ids=["comes back with a result", "goes out with a task", "with a peer", "with a task handed over", "in a debate"],
)
async def test_taint_goes_with_the_work(
    office: Office, endpoint: Endpoint, lead: Script, lead_has: str, others: dict[str, tuple[Script, str]]
) -> None:
    cast = Cast(endpoint, lead=lead, **{name: script for name, (script, _) in others.items()})
    run = await start(office, team(lead=lead_has, **{name: spec for name, (_, spec) in others.items()}))
    assert (await run.handle.result()).output == "done"
    assert office.ledger == []
    payer = "payer" if "payer" in others else "lead"
    assert "you have read text from outside" in cast.told(payer)


async def test_a_process_that_a_tainted_agent_asks_for_is_refused(office: Office, endpoint: Endpoint) -> None:
    child = office.definition(f"""
        process: sub
        input: {{type: object}}
        steps: {{do: {{tool: do.work, {UNDO}}}}}
    """)
    office.children["sub"] = child
    cast = Cast(endpoint, lead=[[READ], [("process_sub", {})], "done"])
    run = await start(office, team(lead="tools: [mail.read, process.sub]"))
    await run.handle.result()
    assert office.ledger == []
    assert "you have read text from outside" in cast.told("lead")


async def test_what_a_process_read_from_outside_taints_the_agent_that_ran_it(
    office: Office, endpoint: Endpoint
) -> None:
    office.children["sub"] = office.definition("""
        process: sub
        input: {type: object}
        steps: {read: {tool: mail.read}}
        output: ${ steps.read.output }
    """)
    cast = Cast(endpoint, lead=[[("process_sub", {})], [PAY], "done"])
    run = await start(office, team(lead="tools: [process.sub, bank.transfer]"))
    await run.handle.result()
    assert office.ledger == []
    assert "you have read text from outside" in cast.told("lead")


async def test_constraints_hold_for_processes_and_for_those_who_work_for_an_agent(
    office: Office, endpoint: Endpoint
) -> None:
    child = office.definition(f"""
        process: sub
        input: {{type: object, properties: {{amount: {{type: number}}}}}}
        steps: {{do: {{tool: do.work, {UNDO}}}}}
    """)
    office.children["sub"] = child
    calls: Script = [[("process_sub", {"amount": 501}), ("agent_payer", {"task": "Pay."})], "done"]
    cast = Cast(endpoint, lead=calls, payer=[[PAY], "I could not"])
    text = team(
        lead="agents: [payer], tools: [{process.sub: {amount: '<= 500'}}]",
        payer="tools: [{bank.transfer: {amount: '<= 500'}}]",
    )
    run = await start(office, text)
    await run.handle.result()
    assert office.ledger == []
    assert [message["content"].startswith("error: ") for message in cast.asked["lead"][1].messages[-2:]] == [
        True,
        False,
    ]
    assert "500" in cast.told("payer")


async def test_people_are_asked_through_the_run_for_a_call_of_one_who_works_for_its_agent(
    office: Office, endpoint: Endpoint
) -> None:
    Cast(endpoint, lead=[[("agent_payer", {"task": "Pay."})], "done"], payer=[[PAY], "paid"])
    approve = "approve: [{tools: [bank.transfer], from: [{any_of: [group:finance]}]}]"
    run = await start(office, team(lead="agents: [payer]", payer=f"{PAYER}, {approve}"))
    view = await run.waiting("ask/ask-1")
    assert view.waiting[0].show["agent"] == "payer"
    await run.decide("ask/ask-1", "approve", "user:alice")
    assert (await run.handle.result()).output == "done"
    assert office.ledger == [("transfer", "ask", ("mallory", 9000))]
