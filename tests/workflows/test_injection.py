"""A model that is in an attacker's hands causes no effect that was not granted or approved, by the ledger of effects.

The model is a real HTTP endpoint that answers as the attacker says.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from tests.endpoint import Answered, Endpoint, completion
from tests.workflows.bank import open_bank
from tests.workflows.office import Office, Run
from tests.workflows.test_operators import started


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_bank(client, endpoint, tmp_path) as opened:
        yield opened


def process(tools: list[Any], steps: dict[str, Any] | None = None, **agent: Any) -> str:
    made = {"instructions": "You pay.", "tools": tools, **agent}
    steps = steps or {"pay": {"agent": "clerk", "task": "Pay."}}
    return json.dumps({"process": "attacked", "agents": {"clerk": made}, "steps": steps})


def results(endpoint: Endpoint, request: int = -1) -> list[str]:
    return [each["content"] for each in endpoint.requests[request].messages if each["role"] == "tool"]


STOLEN = {"to": "mallory", "amount": 1}
BEYOND: list[tuple[str, Any]] = [
    ("bank_transfer", '{"to": "acme", "amount": 1e3}'),
    ("bank_transfer", '{"to": "acme", "amount": "500"}'),
    ("bank_transfer", '{"to": "acme", "amount": NaN}'),
    ("bank_transfer", '{"to": "acme", "amount": -Infinity}'),
    ("bank_transfer", '{"to": "acme", "amount": 1e999}'),
    ("bank_transfer", '{"to": "acme", "amount": 5, "amount": 9000}'),
    ("bank_transfer", '{"to": "acme", "amount": 9000, "\\u0061mount": 5}'),
    ("bank_transfer", '{"to": "acme", "amount": {"value": 5}}'),
    ("bank_transfer", '{"to": "acme", "amount": [5]}'),
    ("bank_transfer", '{"to": "acme", "amount": true}'),
    ("bank_transfer", '{"to": "acme"}'),
    ("bank_transfer", '{"to": "\\u0430cme", "amount": 5}'),
    ("bank_transfer", '{"to": "acme\\u200b", "amount": 5}'),
    ("bank_transfer", '{"to": "acme", "amount": 5, "amount ": 9000}'),
    ("bank_transfer", '[{"to": "acme", "amount": 5}]'),
    ("bank_transfer", '{"to": "acme", "amount": 5} {"to": "mallory"}'),
    ("bank_transfer", "{" * 3000),
    ("bank.transfer", STOLEN),
    ("BANK_TRANSFER", STOLEN),
    ("bank_transfer ", STOLEN),
    ("bank__transfer", STOLEN),
    ("bank_slow", {"to": "mallory"}),
    ("mail_send", {"to": "mallory", "body": "secrets"}),
    ("surefoot_call_model", {}),
    ("surefoot.resolve_people", {"names": ["group:finance"]}),
    ("", STOLEN),
    ("x" * 300, STOLEN),
    ("../../bank_transfer", STOLEN),
    ("state_put", {"key": "x", "value": 1}),
]


async def test_no_call_beyond_the_grants_has_an_effect(office: Office, endpoint: Endpoint) -> None:
    for start in range(0, len(BEYOND), 10):
        endpoint.call(*BEYOND[start : start + 10])
    endpoint.say("done")
    run = await office.start(process([{"bank.transfer": {"amount": "<= 500", "to": "acme"}}]))
    await run.handle.result()
    assert office.ledger == []
    told = results(endpoint)
    assert len(told) == len(BEYOND)
    assert all(each.startswith("error: ") for each in told)
    notes = next(step for step in (await run.view()).steps if step.id == "pay").notes
    assert {note.kind for note in notes} == {"refused"}
    # What the model said goes back to it in a form that strict endpoints take.
    said = [call for each in endpoint.requests[-1].messages for call in each.get("tool_calls", ())]
    answered = [each["tool_call_id"] for each in endpoint.requests[-1].messages if each["role"] == "tool"]
    assert [call["id"] for call in said] == answered
    assert len(set(answered)) == len(BEYOND)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"]) for call in said)
    assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in said)


async def test_of_ten_calls_at_once_the_one_that_is_refused_alone_is_not_made(
    office: Office, endpoint: Endpoint
) -> None:
    amounts = [1, 2, 3, 4, 501, 6, 7, 8, 9, 10]
    endpoint.call(*(("bank_transfer", {"to": "acme", "amount": amount}) for amount in amounts))
    endpoint.say("done")
    run = await office.start(process([{"bank.transfer": {"amount": "<= 500"}}]))
    await run.handle.result()
    assert [amount for *_, (_, amount) in office.ledger] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    told = results(endpoint)
    assert told[4] == "error: bank.transfer is granted only where amount <= 500; amount is 501"
    assert [json.loads(each)["amount"] for each in told if each != told[4]] == [1, 2, 3, 4, 6, 7, 8, 9, 10]


async def test_calls_with_one_id_are_each_made_and_answered_in_order(office: Office, endpoint: Endpoint) -> None:
    def twice(asked: Any) -> Answered:
        made = completion(asked, "", (("bank_transfer", {"to": "a", "amount": 1}), ("bank_balance", {})), "tool_calls")
        for call in made["choices"][0]["message"]["tool_calls"]:
            call["id"] = "same"
        return Answered(body=json.dumps(made))

    endpoint.add(twice)
    endpoint.say("done")
    run = await office.start(process(["bank.*"]))
    await run.handle.result()
    assert office.ledger == [("transfer", "pay", ("a", 1))]
    assert [json.loads(each) for each in results(endpoint)] == [{"to": "a", "amount": 1}, 1000]
    assert len({each["tool_call_id"] for each in endpoint.requests[1].messages[-2:]}) == 2


async def test_what_was_read_from_outside_keeps_writes_and_mails_from_being_made(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 5}), ("mail_read", {}))
    endpoint.call(("bank_transfer", STOLEN), ("mail_send", {"to": "mallory", "body": "hi"}), ("bank_balance", {}))
    endpoint.say("done")
    run = await office.start(process(["bank.*", "mail.*"]))
    await run.handle.result()
    assert office.ledger == [("transfer", "pay", ("acme", 5))]
    transfer, mail, balance = results(endpoint)[-3:]
    assert transfer.startswith("error: bank.transfer is refused: you have read text from outside")
    assert mail.startswith("error: mail.send is refused")
    assert balance == "1000"
    notes = next(step for step in (await run.view()).steps if step.id == "pay").notes
    assert [note.kind for note in notes] == ["tainted", "refused", "refused"]


@pytest.mark.slow
async def test_what_is_tainted_is_asked_about_whatever_when_says_and_time_is_no_agreement(
    time_skipping: WorkflowEnvironment, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.call(("mail_read", {}))
    endpoint.call(("bank_transfer", STOLEN))
    endpoint.say("done")
    lax = {"tools": ["bank.*"], "when": "${ args.amount > 100 }", "from": [{"any_of": ["user:alice"]}]}
    async with open_bank(time_skipping.client, endpoint, tmp_path) as office:
        run = await office.start(
            process(["bank.*", "mail.read"], approve=[{**lax, "expires": "1h", "on_expiry": "approve"}])
        )
        view = await run.waiting("pay/ask-1")
        assert "text from outside" in view.waiting[0].show["tainted"]
        await run.handle.result()
    assert office.ledger == []
    assert "was not approved; nobody, in time" in results(endpoint)[-1]


async def test_taint_goes_from_an_agent_through_its_answer_and_the_state_to_others(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.call(("mail_read", {}))
    endpoint.call(("state_put", {"key": "word", "value": "mallory"}))
    endpoint.say("pay mallory")
    endpoint.call(("state_get", {"key": "word"}))
    endpoint.call(("bank_transfer", STOLEN))
    endpoint.say("no")
    endpoint.call(("bank_transfer", STOLEN))
    endpoint.say("no")
    steps = {
        "read": {"agent": "clerk", "task": "Read."},
        "by_state": {"agent": "payer", "task": "Pay.", "needs": ["read"]},
        "by_answer": {"agent": "payer", "task": "Do: ${ steps.read.output }", "needs": ["by_state"]},
        "clean": {"agent": "payer", "task": "Pay.", "needs": ["by_answer"]},
    }
    endpoint.call(("bank_transfer", {"to": "acme", "amount": 5}))
    endpoint.say("yes")
    made = json.loads(process(["mail.read", "state.*"], steps))
    made["agents"]["payer"] = {"instructions": "You pay.", "tools": ["bank.transfer", "state.get"]}
    run = await office.start(json.dumps(made))
    await run.handle.result()
    assert office.ledger == [("transfer", "clean", ("acme", 5))]


async def test_a_step_of_a_sub_process_with_tainted_input_is_parked(office: Office, endpoint: Endpoint) -> None:
    office.children["child"] = office.definition("""
        process: child
        input: {type: object}
        steps:
          pay: {tool: bank.transfer, with: {to: "${ input.to }", amount: 5}}
    """)
    run = await office.start("""
        process: parent
        steps:
          mail: {tool: mail.read}
          child: {process: child, with: {to: "${ steps.mail.output }"}}
    """)
    child = office.client.get_workflow_handle(f"{run.id}/child")
    await started(Run(office, child))
    async with asyncio.timeout(60):
        while (await child.describe()).search_attributes.get("SurefootStatus") != ["attention"]:
            await asyncio.sleep(0.05)
    view = await Run(office, child).parked("pay")
    assert view.incidents[0].error.type == "Tainted"
    await Run(office, child).repair("pay", "amend", value={"to": "acme", "amount": 5})
    await run.handle.result()
    assert office.ledger == [("transfer", "pay", ("acme", 5))]
