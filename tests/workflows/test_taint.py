"""Ways by which text from outside might lose its mark inside a run: none of them brings it into an effect.

The model is a real HTTP endpoint that answers as the attacker says.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.events import PublishEvent
from tests.endpoint import Endpoint
from tests.workflows.bank import open_bank
from tests.workflows.office import Office, Run


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_bank(client, endpoint, tmp_path) as opened:
        yield opened


READ: tuple[str, Any] = ("mail_read", {})
STOLEN = {"to": "mallory", "amount": 1}
MAIL = {"tool": "mail.read"}
BROKEN = {"tool": "mail.broken"}


def process(steps: dict[str, Any], **agents: list[Any]) -> str:
    made = {name: {"instructions": "You work.", "tools": tools} for name, tools in agents.items()}
    return json.dumps({"process": "washing", "agents": made, "steps": steps})


def pay(to: str, **more: Any) -> dict[str, Any]:
    return {"tool": "bank.transfer", "with": {"to": to, "amount": 5}, **more}


async def refused_as_tainted(run: Run, step: str = "pay") -> None:
    view = await run.parked(step)
    assert view.incidents[0].error.type == "Tainted"
    await run.cancel()


@pytest.mark.parametrize(
    "expression",
    [
        "${ state.clean + state['word'] }",
        "${ state . clean + state . word }",
        "${ state['word'] + 'state.clean' }",
        "${ state.clean + state['wo' + 'rd'] }",
        r"${ state.clean + state['wor\u0064'] }",
    ],
)
async def test_state_keeps_its_mark_however_a_key_is_written(office: Office, expression: str) -> None:
    run = await office.start(
        process(
            {
                "mail": MAIL,
                "clean": {"state": {"key": "clean", "set": "to "}},
                "keep": {"state": {"key": "word", "set": "${ steps.mail.output }"}, "needs": ["clean"]},
                "pay": pay(expression, needs=["keep"]),
            }
        )
    )
    await refused_as_tainted(run)
    assert office.ledger == []


async def test_a_clean_key_beside_a_tainted_one_is_clean(office: Office) -> None:
    run = await office.start(
        process(
            {
                "mail": MAIL,
                "clean": {"state": {"key": "clean", "set": "acme"}},
                "keep": {"state": {"key": "word", "set": "${ steps.mail.output }"}},
                "pay": pay("${ state['clean'] + (state.clean == 'state.word' ? '' : '') }", needs=["clean", "keep"]),
            }
        )
    )
    await run.handle.result()
    assert office.ledger == [("transfer", "pay", ("acme", 5))]


@pytest.mark.parametrize("read", ["steps.get.output.value", "state.word"])
async def test_tool_steps_that_write_and_read_the_state_pass_the_mark_on(office: Office, read: str) -> None:
    made = process(
        {
            "mail": MAIL,
            "put": {"tool": "state.put", "with": {"key": "word", "value": "${ steps.mail.output }"}},
            "get": {"tool": "state.get", "with": {"key": "word"}, "needs": ["put"]},
            "pay": pay(f"${{ {read} }}", needs=["get"]),
        }
    )
    run = await office.start(json.dumps({**json.loads(made), "state": {"word": {}}}))
    await refused_as_tainted(run)
    assert office.ledger == []


@pytest.mark.parametrize(("policy", "is_told"), [("reject", False), ("first_wins", True)])
async def test_a_write_to_the_state_tells_what_it_holds_with_its_mark_or_not_at_all(
    office: Office, endpoint: Endpoint, policy: str, is_told: bool
) -> None:
    endpoint.call(("state_put", {"key": "word", "value": "mine", "version": 0}))
    endpoint.call(("bank_transfer", STOLEN))
    endpoint.say("done")
    made = json.loads(
        process(
            {
                "mail": MAIL,
                "keep": {"state": {"key": "word", "set": "${ steps.mail.output }"}},
                "work": {"agent": "clerk", "task": "Work.", "needs": ["keep"]},
            },
            clerk=["state.put", "bank.transfer"],
        )
    )
    run = await office.start(json.dumps({**made, "state": {"word": {"on_conflict": policy}}}))
    await run.handle.result()
    assert ("mallory" in endpoint.requests[1].messages[-1]["content"]) == is_told
    assert (office.ledger == []) == is_told


async def test_what_is_appended_to_a_tainted_key_comes_back_tainted(office: Office) -> None:
    run = await office.start(
        process(
            {
                "mail": MAIL,
                "keep": {"state": {"key": "words", "append": "${ steps.mail.output }"}},
                "add": {"state": {"key": "words", "append": "acme"}, "needs": ["keep"]},
                "pay": pay("${ steps.add.output.value[0] }"),
            }
        )
    )
    await refused_as_tainted(run)
    assert office.ledger == []


async def test_an_event_brings_the_mark_of_what_was_emitted_to_who_waits_for_it(office: Office) -> None:
    topic = f"word.{office.queue}"
    waits = await office.start(
        process({"word": {"event": topic}, "pay": pay("${ steps.word.output.to }")}), run=f"waits-{office.queue}"
    )
    await waits.waiting("word")
    emits = await office.start(
        process({"mail": MAIL, "tell": {"emit": topic, "with": {"to": "${ steps.mail.output }"}}})
    )
    await emits.handle.result()
    await refused_as_tainted(waits)
    assert office.ledger == []


@pytest.mark.parametrize(("topic", "is_refused"), [("webhook.word", True), ("word", False)])
async def test_what_a_webhook_brings_is_from_outside_and_what_an_operator_publishes_is_not(
    office: Office, topic: str, is_refused: bool
) -> None:
    topic = f"{topic}-{office.queue}"
    run = await office.start(process({"word": {"event": topic}, "pay": pay("${ steps.word.output.to }")}))
    await run.waiting("word")
    await office.topics.publish(PublishEvent(id="1", topic=topic, data={"to": "acme"}, by="user:ops"))
    if is_refused:
        await refused_as_tainted(run)
        assert office.ledger == []
    else:
        await run.handle.result()
        assert office.ledger == [("transfer", "pay", ("acme", 5))]


@pytest.mark.slow
async def test_how_a_tool_that_reads_from_outside_failed_taints_the_planner_who_is_told(
    office: Office, endpoint: Endpoint
) -> None:
    endpoint.say(json.dumps({"steps": {"mail": {**BROKEN, "on_failure": "replan"}}}))
    endpoint.say(json.dumps({"steps": {"pay": pay("mallory", on_failure="ask")}}))
    goal = {"goal": "Pay.", "tools": ["mail.broken", "bank.transfer"]}
    run = await office.start(process({"reach": goal}))
    await refused_as_tainted(run, "reach.pay")
    assert "mallory" in str(endpoint.requests[1].messages)
    assert office.ledger == []


@pytest.mark.slow
async def test_a_sub_process_that_fails_of_what_it_read_taints_who_asked_for_its_parent(
    office: Office, endpoint: Endpoint
) -> None:
    office.children["inner"] = office.definition(
        "process: inner\ninput: {type: object}\nsteps: {mail: {tool: mail.broken, on_failure: fail}}\n"
    )
    office.children["sub"] = office.definition(
        "process: sub\ninput: {type: object}\nsteps: {inner: {process: inner, on_failure: fail}}\n"
    )
    endpoint.call(("process_sub", {}))
    endpoint.call(("bank_transfer", STOLEN))
    endpoint.say("done")
    run = await office.start(
        process({"work": {"agent": "clerk", "task": "Work."}}, clerk=["process.sub", "bank.transfer"])
    )
    async with asyncio.timeout(60):
        await run.handle.result()
    assert "mallory" in endpoint.requests[1].messages[-1]["content"]
    assert office.ledger == []
