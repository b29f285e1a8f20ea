"""Every command, against a real server with the real worker."""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest
from temporalio.client import Client

from contracts.decisions import Decision
from contracts.errors import Refused, UnknownRun
from contracts.names import PROCESS_WORKFLOW
from runtime.deciding import send
from runtime.settings import PROJECT, Settings
from tests.cli.conftest import PROCESS, Starter, until_closed, until_waiting

HORSE = '{"item": "horse"}'
UNICORN = '{"item": "unicorn"}'


async def started(starter: Starter, given: str = HORSE) -> str:
    answer = await starter("run", "flaky", "--input", given, "--id", str(uuid4()), "--json")
    assert answer.status == 0, answer.err
    run: str = answer.json["run"]
    return run


@pytest.mark.usefixtures("running")
async def test_a_run_is_started_decided_and_shown(starter: Starter) -> None:
    run = await started(starter)
    view = await until_waiting(starter, run, "waiting")
    assert view["started_by"] == "user:sam"
    assert view["waiting"][0]["who"] == ["group:finance"]
    decided = await starter("approve", run, "--by", "alice", "--comment", "ok", "--json")
    assert (decided.status, decided.json["status"]) == (0, "approved"), decided.err
    view = await until_waiting(starter, run, "completed")
    assert view["output"] == {"taken": 4}
    assert view["steps"][1]["by"] == "user:alice"
    shown = await starter("status", run)
    assert shown.status == 0
    assert "taken: 4" in shown.out


@pytest.mark.usefixtures("running")
async def test_waiting_for_a_run_tells_who_must_decide_and_ends_with_its_outcome(
    starter: Starter,
) -> None:
    key = str(uuid4())
    following = await asyncio.create_subprocess_exec(
        sys.executable, "starter.py", "run", "flaky", "--input", HORSE, "--id", key, "--wait",
        cwd=PROJECT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert following.stdout is not None
    told = ""
    while f"approve flaky-{key} sign_off" not in told:
        told += (line := await following.stdout.readline()).decode()
        assert line, told
    assert "group:finance" in told
    assert (await starter("approve", f"flaky-{key}", "--by", "bob")).status == 0
    told += (await following.stdout.read()).decode()
    assert await following.wait() == 0
    assert "taken: 4" in told
    assert "\x1b" not in told


@pytest.mark.usefixtures("running")
async def test_a_rejected_run_ends_with_status_1_and_its_view_as_json(starter: Starter, client: Client) -> None:
    key = str(uuid4())
    following = asyncio.create_task(starter("run", "flaky", "--input", HORSE, "--id", key, "--wait", "--json"))
    await _decide_when_open(client, f"flaky-{key}", "reject")
    answer = await following
    assert answer.status == 1
    assert answer.json["status"] == "failed"
    assert "too dear" in answer.json["error"]["message"]


async def _decide_when_open(client: Client, run: str, decision: Literal["approve", "reject"]) -> None:
    async with asyncio.timeout(40):
        while True:
            try:
                await send(client, run, Decision(step="sign_off", decision=decision, by="bob", comment="too dear"))
            except (Refused, UnknownRun):
                await asyncio.sleep(0.1)
            else:
                return


@pytest.mark.usefixtures("running")
async def test_an_incident_is_repaired_with_other_arguments(starter: Starter) -> None:
    run = await started(starter, UNICORN)
    view = await until_waiting(starter, run, "attention")
    assert view["incidents"][0]["error"]["message"] == "there is no item unicorn"
    assert "repair " + run + " stock amend" in (await starter("status", run)).out
    wrong = await starter("repair", run, "stock", "amend", "--value", '{"itm": 1}', "--json")
    assert (wrong.status, wrong.json["error"]["type"]) == (2, "Refused")
    repaired = await starter("repair", run, "stock", "amend", "--value", HORSE, "--reason", "typo")
    assert repaired.status == 0, repaired.err
    await until_waiting(starter, run, "waiting")


@pytest.mark.usefixtures("running")
async def test_a_run_is_given_up_and_cancelled(starter: Starter) -> None:
    given_up, cancelled = await started(starter, UNICORN), await started(starter)
    await until_waiting(starter, given_up, "attention")
    await until_waiting(starter, cancelled, "waiting")
    assert (await starter("repair", given_up, "stock", "abort", "--no-undo", "--by", "tom")).status == 0
    assert (await starter("cancel", cancelled, "--reason", "no need", "--json")).status == 0
    assert "aborted by user:tom" in (await until_waiting(starter, given_up, "failed"))["error"]["message"]
    assert "no need" in (await until_waiting(starter, cancelled, "cancelled"))["error"]["message"]


@pytest.mark.usefixtures("running")
async def test_a_decision_that_does_not_hold_is_refused_with_the_reason(starter: Starter) -> None:
    run = await started(starter)
    await until_waiting(starter, run, "waiting")
    cases = {
        ("approve", run, "sign_off", "--by", "mia"): "user:mia is not asked; this is for group:finance",
        ("reject", run, "sign_off", "--by", "alice"): "give it with --comment",
        ("approve", run, "stock", "--by", "alice"): "stock does not wait for a decision",
        ("approve", run, "nope", "--by", "alice"): "there is no step 'nope'",
        ("approve", run, "--by", "not a name"): "'not a name' is no name of a person",
        ("repair", run, "stock", "retry"): "no incident to repair",
        ("repair", run, "stock", "amend"): "amend needs --value",
        ("repair", run, "stock", "retry", "--no-undo"): "--no-undo goes with abort",
    }
    for arguments, says in cases.items():
        answer = await starter(*arguments)
        assert answer.status == 2, arguments
        assert says in answer.err
        assert not answer.out
    assert (await starter("status", run, "--json")).json["waiting"][0]["votes"] == []


@pytest.mark.usefixtures("running")
async def test_an_id_is_used_once(starter: Starter, client: Client) -> None:
    run = await started(starter)
    key = run.removeprefix("flaky-")
    again = await starter("run", "flaky", "--input", HORSE, "--id", key)
    assert again.status == 2
    assert f"run {run} is running already" in again.err
    await until_waiting(starter, run, "waiting")
    await starter("cancel", run)
    await until_closed(client, run)
    after = await starter("run", "flaky", "--input", HORSE, "--id", key)
    assert after.status == 2
    assert "an id is used once" in after.err


@pytest.mark.usefixtures("running")
async def test_runs_are_listed_by_status_the_ended_ones_too(starter: Starter) -> None:
    waiting, parked, ended = [await started(starter, given) for given in (HORSE, UNICORN, HORSE)]
    await until_waiting(starter, waiting, "waiting")
    await until_waiting(starter, parked, "attention")
    await until_waiting(starter, ended, "waiting")
    await starter("cancel", ended)
    await until_waiting(starter, ended, "cancelled")
    for status, run, who in (
        ("waiting", waiting, ["group:finance"]),
        ("attention", parked, ["operator"]),
        ("cancelled", ended, []),
    ):
        async with asyncio.timeout(60):
            while not (found := await _listed(starter, run, "--status", status)):
                await asyncio.sleep(0.1)
        assert found["waits_for"] == who
    listed = await starter("list", "--process", "flaky", "--limit", "2")
    assert "waits for" in listed.out
    assert "--limit shows more" in listed.err


async def _listed(starter: Starter, run: str, *options: str) -> dict[str, object] | None:
    runs = (await starter("list", "--json", "--limit", "100", *options)).json["runs"]
    return next((found for found in runs if found["run"] == run), None)


@pytest.mark.usefixtures("running")
async def test_a_run_that_was_terminated_or_never_began_has_ended(
    starter: Starter, client: Client, settings: Settings
) -> None:
    run = await started(starter)
    await until_waiting(starter, run, "waiting")
    await client.get_workflow_handle(run).terminate("by hand")
    view = await until_waiting(starter, run, "cancelled")
    assert view["waiting"] == []
    assert view["error"]["type"] == "TerminatedError"
    never = f"never-{uuid4()}"
    await client.start_workflow(PROCESS_WORKFLOW, {"process": "nope"}, id=never, task_queue=settings.task_queue)
    view = await until_waiting(starter, never, "failed")
    assert view["error"]["type"] == "UnknownProcess"
    assert "it ended before its first step" in (await starter("status", never)).out


@pytest.mark.slow
async def test_without_a_worker_a_run_is_started_with_a_warning_and_shown_as_the_server_knows_it(
    starter: Starter,
) -> None:
    answer = await starter("run", "flaky", "--input", HORSE, "--id", str(uuid4()), "--priority", "2", "--json")
    assert answer.status == 0
    assert "warning: no worker polls task queue" in answer.err
    run = answer.json["run"]
    shown = await starter("status", run)
    assert shown.status == 0
    assert "only what the server knows: no worker answers for it" in shown.out
    decided = await starter("approve", run, "--by", "alice", "--json")
    assert decided.status == 3
    assert "nothing was done" in decided.json["error"]["message"]


async def test_an_unknown_run_is_answered_with_close_ones(starter: Starter, client: Client) -> None:
    run = await started(starter)
    async with asyncio.timeout(60):
        while await _listed(starter, run) is None:
            await asyncio.sleep(0.1)
    answer = await starter("status", run[:-1], "--json")
    assert answer.status == 2
    assert answer.json["error"]["type"] == "UnknownRun"
    assert f"did you mean {run}" in answer.json["error"]["message"]
    assert (await starter("cancel", "nope")).status == 2
    await client.get_workflow_handle(run).terminate()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "flaky", "--input", '{"item": 3}'), 'item: 3 is not of type "string"'),
        (("run", "flaky"), '"item" is a required property'),
        (("run", "flaky", "--input", "nope.json"), "there is no such file"),
        (("run", "flakey", "--input", HORSE), "did you mean flaky"),
        (("run", "nope.yaml", "--input", HORSE), "there is no such file"),
        (("run", "flaky", "--input", HORSE, "--id", "a b"), "without blanks"),
        (("run", "flaky", "--input", HORSE, "--priority", "9"), "--priority"),
        (("run", "flaky", "--input", HORSE, "--tenant", "x" * 65), "a tenant's name is 1 to 64 bytes"),
        (("frobnicate",), "No such command"),
        (("status",), "Missing argument"),
        (("list", "--status", "sleeping"), "'sleeping' is not one of"),
    ],
)
async def test_a_wrong_call_starts_nothing_and_says_what_is_wrong(
    starter: Starter, arguments: tuple[str, ...], says: str
) -> None:
    answer = await starter(*arguments)
    assert answer.status == 2
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert not answer.out
    assert says in (await starter(*arguments, "--json")).json["error"]["message"]


async def test_a_server_that_does_not_answer_is_status_3(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    answer = await starter("list", "--json")
    assert answer.status == 3
    assert answer.json["error"]["type"] == "ServerUnreachable"
    assert "127.0.0.1:1" in answer.err
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    assert "no Temporal server is running" in (await starter("list")).err


async def test_validate_names_every_mistake_and_what_is_right(
    starter: Starter, tmp_path: Path, process_file: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(PROCESS.replace("shop.stock", "shop.stok").replace("input.item", "inputs.item"))
    answer = await starter("validate", str(wrong), "flaky", "nope.yaml")
    assert answer.status == 2
    assert "wrong.yaml:8:17: there is no tool `shop.stok`" in answer.err
    assert "wrong.yaml:8:45: " in answer.err
    assert "nope.yaml:1:1: there is no such file" in answer.err
    assert answer.out == "flaky: flaky version 2 is right, 2 steps\n"
    problems = (await starter("validate", str(wrong), "--json")).json
    assert [(problem["line"], problem["column"]) for problem in problems] == [(8, 17), (8, 45)]
    assert (await starter("validate", "flaky", "invoice-approval", "--json")).json == []


@pytest.mark.usefixtures("running")
async def test_an_event_is_published_from_outside_and_starts_what_it_triggers(starter: Starter, topic: str) -> None:
    answer = await starter("event", topic, '{"item": "horse"}', "--id", topic, "--json")
    assert answer.json == {"id": topic, "topic": topic}
    await until_waiting(starter, f"flaky-{topic}", "waiting")
    wrong = await starter("event", "no topic", "{}")
    assert (wrong.status, "is no topic" in wrong.err) == (2, True)
    large = await starter("event", topic, '{"pad": "%s"}' % ("x" * 100_000))
    assert (large.status, "at most 100000 are published" in large.err) == (2, True)


@pytest.mark.usefixtures("running")
async def test_a_graph_is_drawn_of_a_file_and_of_a_run(starter: Starter, process_file: Path) -> None:
    plain = await starter("graph", str(process_file))
    assert "flowchart" in plain.out
    assert "classDef completed" not in plain.out
    run = await started(starter)
    await until_waiting(starter, run, "waiting")
    assert "classDef waiting" in (await starter("graph", run)).out
    assert json.loads((await starter("graph", run, "--json")).out)["mermaid"].startswith("%%")


@pytest.mark.usefixtures("running")
async def test_temporal_shows_what_a_run_is_for(starter: Starter, client: Client) -> None:
    run = await started(starter)
    found = await client.get_workflow_handle(run).describe()
    assert await found.static_summary() == "Look at the stock, then ask"
    assert '"item": "horse"' in (await found.static_details() or "")
    assert (await found.memo())["started_by"] == "user:sam"
    assert found.start_time - found.execution_time < timedelta(seconds=1) if found.execution_time else True
