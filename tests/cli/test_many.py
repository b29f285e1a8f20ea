"""Incidents of many runs: listed by cause, repaired by one command."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.conftest import Starter, until_waiting

TOOLS = '''
from contracts.tools import ToolError, tool

@tool(name="bank.pay", effect="write", idempotent=True)
def pay(to: str, amount: int) -> int:
    """Pay."""
    if to == "closed":
        raise ToolError(f"account '{to}' of order {amount} is closed", retry=False)
    if amount > 100:
        raise ToolError(f"{amount} is more than 100", retry=False)
    return amount
'''
PROCESS = """
process: NAME
input: {type: object, required: [to, amount]}
steps:
  pay: {tool: bank.pay, with: {to: "${ input.to }", amount: "${ input.amount }"}}
output: ${ steps.pay.output }
"""
CLOSED = "error.type == 'ToolFailed' && input.to == 'closed'"


@pytest.fixture(autouse=True)
def name(process_file: Path) -> str:
    """A process of this test alone: incidents are searched for in the whole namespace."""
    made = f"pays-{uuid4().hex[:8]}"
    folder = process_file.parents[1] / made
    folder.mkdir()
    (folder / "tools.py").write_text(TOOLS)
    (folder / "process.yaml").write_text(PROCESS.replace("NAME", made))
    return made


async def parked(starter: Starter, name: str, to: str, amount: int) -> str:
    given = f'{{"to": "{to}", "amount": {amount}}}'
    answer = await starter("run", name, "--input", given, "--id", str(uuid4()), "--json")
    assert answer.status == 0, answer.err
    run: str = answer.json["run"]
    await until_waiting(starter, run, "attention")
    return run


async def listed(starter: Starter, name: str, incidents: int) -> Any:
    """What `incidents` tells, once Temporal's index knows so many of them."""
    async with asyncio.timeout(60):
        while True:
            told = (await starter("incidents", "--process", name, "--json")).json
            if sum(len(cause["incidents"]) for cause in told["causes"]) == incidents:
                return told


@pytest.mark.usefixtures("running")
async def test_incidents_with_the_same_cause_are_repaired_by_one_command(starter: Starter, name: str) -> None:
    closed = [await parked(starter, name, "closed", amount) for amount in (7, 8)]
    large = await parked(starter, name, "ann", 500)
    told = await listed(starter, name, 3)
    assert [len(cause["incidents"]) for cause in told["causes"]] == [2, 1]
    assert told["causes"][0]["cause"] == "ToolFailed: account '…' of order N is closed"
    shown = await starter("incidents", "--process", name)
    assert "account 'closed' of order 7 is closed" in shown.out

    mended = ("amend", "--value", '{"to": "ben", "amount": "${ input.amount }"}', "--process", name)
    dry = await starter("repair", "--where", CLOSED, *mended, "--dry-run", "--json")
    assert dry.status == 0, dry.err
    assert {would["run"] for would in dry.json["would"]} == set(closed)
    assert dry.json["would"][0]["difference"] == [{"path": "arguments.to", "before": "closed", "after": "ben"}]
    assert (await until_waiting(starter, closed[0], "attention"))["incidents"]
    unsure = await starter("repair", "--where", CLOSED, *mended)
    assert unsure.status == 2
    assert "say --yes" in unsure.err

    done = await starter("repair", "--where", CLOSED, *mended, "--yes", "--json")
    assert done.status == 0, done.err
    assert {each["run"] for each in done.json["repaired"]} == set(closed)
    for run, amount in zip(closed, (7, 8), strict=True):
        assert (await until_waiting(starter, run, "completed"))["output"] == amount
    assert (await until_waiting(starter, large, "attention"))["incidents"][0]["step"] == "pay"


@pytest.mark.usefixtures("running")
async def test_each_repair_that_is_refused_is_told_and_the_status_is_1(starter: Starter, name: str) -> None:
    run = await parked(starter, name, "ann", 500)
    await listed(starter, name, 1)
    wrong = ("repair", "--where", "step == 'pay'", "amend", "--value", '{"wat": 1}', "--process", name, "--yes")
    answer = await starter(*wrong)
    assert answer.status == 1
    assert "repaired 0 of 1" in answer.out
    assert f"{run}  pay: pay: these arguments do not fit bank.pay" in answer.out
    stranger = await starter("repair", "--where", "true", "retry", "--process", name, "--yes", "--by", "bob", "--json")
    assert stranger.status == 1
    assert "user:bob may not repair this run" in stranger.json["refused"][0]["refused"]


@pytest.mark.usefixtures("running")
async def test_a_bad_expression_is_one_clear_error(starter: Starter, name: str) -> None:
    await parked(starter, name, "closed", 1)
    await listed(starter, name, 1)
    for where, says in (
        ("eror.type == 'ToolFailed'", "uses eror, which an incident has not; it has attempts, error, input"),
        ("step ==", "is no CEL"),
        ("step", "a condition must give true or false"),
    ):
        answer = await starter("repair", "--where", where, "retry", "--process", name, "--yes")
        assert answer.status == 2, where
        assert says in answer.err
        assert not answer.out


@pytest.mark.usefixtures("settings")
async def test_a_call_without_an_action_or_with_a_step_too_many_says_what_is_right(starter: Starter) -> None:
    for words in (("repair", "--where", "true", "RUN", "pay", "retry"), ("repair", "--where", "true", "mend")):
        answer = await starter(*words)
        assert answer.status == 2
        assert "with --where say only what to do" in answer.err
    assert "say which: repair RUN STEP ACTION" in (await starter("repair", "RUN")).err
