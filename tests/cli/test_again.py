"""Starting an ended run again, by the command line."""

from uuid import uuid4

import pytest
from temporalio.client import Client

from runtime.settings import Settings
from tests.cli.conftest import Starter, until_closed, until_waiting

UNICORN = '{"item": "unicorn"}'


async def given_up(starter: Starter, client: Client) -> str:
    """A run that failed in its first step."""
    answer = await starter("run", "flaky", "--input", UNICORN, "--id", str(uuid4()), "--tenant", "acme", "--json")
    run: str = answer.json["run"]
    await until_waiting(starter, run, "attention")
    running = await starter("rerun", run)
    assert running.status == 2
    assert f"{run} has not ended; repair it in place" in running.err
    assert (await starter("repair", run, "stock", "abort")).status == 0
    await until_closed(client, run)
    return run


@pytest.mark.usefixtures("running")
async def test_an_ended_run_goes_on_once_and_shows_with_what(starter: Starter, client: Client) -> None:
    run = await given_up(starter, client)
    looked = await starter("rerun", run, "--dry-run", "--json")
    assert (looked.status, looked.json["run"], looked.json["again"]) == (0, f"{run}~2", ["stock"]), looked.err
    started = await starter("rerun", run, "--input", '{"item": "horse"}', "--reason", "typo", "--json")
    assert started.status == 0, started.err
    assert started.json["run"] == f"{run}~2"
    view = await until_waiting(starter, f"{run}~2", "waiting")
    assert (view["rerun_of"], view["input"]) == (run, {"item": "horse"})
    assert f"goes on with {run}" in (await starter("status", f"{run}~2")).out
    described = await client.get_workflow_handle(f"{run}~2").describe()
    assert described.raw_info.priority.fairness_key == "acme"
    twice = await starter("rerun", run)
    assert twice.status == 2
    assert f"{run} was started again already, as {run}~2" in twice.err


@pytest.mark.usefixtures("running")
async def test_who_may_not_is_refused_and_keeps_nobody_else_out(starter: Starter, client: Client) -> None:
    run = await given_up(starter, client)
    refused = await starter("rerun", run, "--by", "bob")
    assert refused.status == 2
    assert "user:bob may not rerun this run" in refused.err
    assert (await starter("rerun", run, "--input", '{"item": "horse"}', "--by", "tom")).status == 0
    await until_waiting(starter, f"{run}~2", "waiting")


@pytest.mark.usefixtures("running")
async def test_a_wrong_call_says_what_is_wrong_and_starts_nothing(
    starter: Starter, client: Client, settings: Settings
) -> None:
    run = await given_up(starter, client)
    for words, says in (
        (("--from", "nope"), "there is no step 'nope' to start again from"),
        (("--input", '{"itm": 1}'), "the input does not fit process flaky"),
        (("--by", "system:parent"), "system:parent is the engine itself, and no person"),
    ):
        answer = await starter("rerun", run, *words)
        assert answer.status == 2
        assert says in answer.err
    unknown = await starter("status", f"{run}~2")
    assert "there is no run" in unknown.err
