"""`starter.py log`: what happened in a run, exported, filtered, and held to its hashes."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from contracts.record import BEGINNING, Happening, WriteRecord, chained, hash_of
from runtime.settings import Settings
from tests.business import Said
from tests.cli.conftest import Starter, until_closed, until_waiting

BUMPED = """UPDATE surefoot_events SET event = replace(event, '"version":2', '"version":3') WHERE number = 1"""
PUT_BACK = """UPDATE surefoot_events SET event = replace(event, '"version":3', '"version":2') WHERE number = 1"""


@pytest.fixture
def run_id(topic: str) -> str:
    return f"flaky-{topic.rpartition('.')[2]}"


async def completed(starter: Starter, client: Client, run: str) -> None:
    await starter("run", "flaky", "--input", '{"item": "mug"}', "--id", run.removeprefix("flaky-"))
    await until_waiting(starter, run, "waiting")
    await starter("approve", run, "--by", "alice", "--comment", "we need it")
    await until_closed(client, run)


def change(settings: Settings, statement: str) -> None:
    with closing(sqlite3.connect(settings.home / "records.db", timeout=20)) as database, database:
        database.execute(statement)


async def verified(starter: Starter, *arguments: str) -> Any:
    answer: Said = await starter("log", *arguments, "--verify", "--json")
    assert answer.status == (0 if answer.json["holds"] else 1)
    return answer.json


@pytest.mark.usefixtures("running")
async def test_a_run_is_told_in_order_with_who_and_why(starter: Starter, client: Client, run_id: str) -> None:
    await completed(starter, client, run_id)
    said = await starter("log", run_id)
    assert said.status == 0
    lines = said.out.splitlines()
    assert "the run starts: process flaky, version 2" in lines[1]
    assert "user:sam" in lines[1]
    assert lines[-1].split()[2:] == ["the", "run", "is", "completed"]

    events = (await starter("log", run_id, "--json")).json
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    of_step = (await starter("log", run_id, "--step", "stock", "--kind", "step.*", "--json")).json
    assert [event["kind"] for event in of_step] == ["step.running", "step.completed"]

    of_many = (await starter("log", "--process", "flaky", "--since", "7d", "--kind", "run.*", "--json")).json
    assert [(event["run"], event["kind"]) for event in of_many] == [(run_id, "run.started"), (run_id, "run.completed")]
    assert (await starter("log", "--process", "other")).err == "no such events\n"


@pytest.mark.usefixtures("running")
async def test_an_export_holds_by_itself_and_shows_what_was_changed(
    starter: Starter, client: Client, run_id: str, tmp_path: Path
) -> None:
    await completed(starter, client, run_id)
    file = tmp_path / "record.jsonl"
    wrote = await starter("log", run_id, "--export", str(file))
    lines = file.read_text().splitlines()
    assert wrote.out == f"wrote {len(lines)} events to {file}\n"
    assert (await starter("log", run_id, "--jsonl")).out.splitlines() == lines

    whole = await verified(starter, str(file))
    assert whole == {"holds": True, "problem": None, "events": len(lines), "notes": [], "head": whole["head"]}
    assert whole["head"] == json.loads(lines[-1])["hash"]
    assert (await verified(starter, str(file), "--head", whole["head"]))["holds"]
    assert (await verified(starter, str(file), "--head", "0" * 64))["problem"] == f"no event has the hash {'0' * 64}"

    file.write_text("\n".join(lines[:-1]))
    assert "it breaks off after event" in (await verified(starter, str(file)))["problem"]
    file.write_text("\n".join(lines[1:]))
    assert "event 1 is missing" in (await verified(starter, str(file)))["problem"]
    file.write_text("\n".join(line.replace("user:sam", "user:eve") for line in lines))
    assert "event 1 was changed" in (await verified(starter, str(file)))["problem"]
    broken = await starter("log", str(file), "--verify")
    assert broken.out == "the record is broken: event 1 was changed: its content does not have its hash\n"


async def test_a_record_may_say_what_ends_a_line_elsewhere_and_be_of_a_later_version(
    starter: Starter, tmp_path: Path
) -> None:
    at = datetime(2026, 12, 1, 9, tzinfo=UTC)
    said = Happening(at=at, kind="run.note", by="user:sam", reason="one\u2028two\x85three\u2029four")
    request = WriteRecord(run="r", execution="e", process="p", after=0, previous=BEGINNING, events=(said,))
    (event,) = chained(request)
    later = json.loads(event.text) | {"number": 2, "kind": "run.frozen", "previous": event.hash}
    del later["hash"]
    later["hash"] = hash_of(later)
    file = tmp_path / "record.jsonl"
    file.write_text(f"{event.text}\n{json.dumps(later)}\n")
    assert (await verified(starter, str(file), "--head", later["hash"]))["events"] == 2
    problem = (await verified(starter, str(file)))["problem"]
    assert problem == "it breaks off after event 2 (run.frozen), before the run's end: what follows is missing"


@pytest.mark.usefixtures("running")
async def test_what_somebody_did_to_the_database_shows(
    starter: Starter, client: Client, run_id: str, settings: Settings
) -> None:
    await completed(starter, client, run_id)
    assert (await verified(starter, run_id))["holds"]
    change(settings, BUMPED)
    assert "event 1 was changed" in (await verified(starter, run_id))["problem"]
    change(settings, PUT_BACK)
    assert (await verified(starter, run_id))["holds"]
    change(settings, "DELETE FROM surefoot_events WHERE number = (SELECT max(number) FROM surefoot_events)")
    assert "is missing, with all that follows" in (await verified(starter, run_id))["problem"]


@pytest.mark.usefixtures("running")
async def test_without_a_server_the_database_alone_is_read_and_that_is_said(
    starter: Starter, client: Client, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed(starter, client, run_id)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    answer = await starter("log", run_id, "--verify")
    assert (answer.status, answer.out[:16]) == (0, "the record holds")
    assert "what runs have not written yet is not here" in answer.err
    unknown = await starter("log", "flaky-nothing")
    assert (unknown.status, "there is no record of a run 'flaky-nothing'" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--verify",), "are of one run; give its id"),
        (("--follow",), "are of one run; give its id"),
        (("flaky-1", "--head", "x"), "--head goes with --verify"),
        (("--since", "yesterday"), "--since 'yesterday': write 7d, 12h or a time such as"),
    ],
)
async def test_what_cannot_be_asked_is_refused(starter: Starter, arguments: tuple[str, ...], said: str) -> None:
    answer = await starter("log", *arguments)
    assert answer.status == 2
    assert said in answer.err
