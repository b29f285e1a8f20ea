"""Events are written once, found in order, and whoever changes a row is found out; in SQLite and in PostgreSQL."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.records import schema
from activities.records.database import Database
from contracts.record import (
    BEGINNING,
    EventQuery,
    Happening,
    RecordsUnavailable,
    RunEvent,
    Stored,
    WriteRecord,
    break_of,
    chained,
)
from contracts.stores import RecordSettings
from runtime.keys import Keys
from tests.activities.records.conftest import BackEnd
from tests.stores import Server

BEGAN = datetime(2026, 12, 1, 9, 0, 0, 5, tzinfo=UTC)


def request_of(
    *steps: str, run: str = "buy-1", execution: str = "e1", process: str = "buy", kind: str = "step.completed"
) -> WriteRecord:
    happenings = tuple(
        Happening.model_validate(
            {"at": BEGAN + timedelta(minutes=number), "kind": kind, "step": step, "by": f"user:{step}"}
        )
        for number, step in enumerate(steps)
    )
    return WriteRecord(run=run, execution=execution, process=process, after=0, previous=BEGINNING, events=happenings)


def texts(stored: list[Stored]) -> list[str]:
    return [row.text for row in stored]


async def test_events_read_back_as_they_were_written_in_order(back_end: BackEnd) -> None:
    request = request_of("a", "b", "c")
    await back_end.open().write(request)
    stored = await back_end.open().read("buy-1")
    assert texts(stored) == [event.text for event in chained(request)]
    assert [row.problem for row in stored] == [None] * 3
    assert break_of(texts(stored)) is None


async def test_what_is_written_again_is_there_once(back_end: BackEnd) -> None:
    records, request = back_end.open(), request_of("a", "b", "c")
    await records.write(request.model_copy(update={"events": request.events[:2]}))
    await records.write(request)
    await records.write(request)
    assert [row.number for row in await records.read("buy-1")] == [1, 2, 3]


async def test_another_event_of_a_number_is_put_beside_the_first_and_never_over_it(back_end: BackEnd) -> None:
    records = back_end.open()
    await records.write(request_of("a", "b"))
    await records.write(request_of("a", "other"))
    stored = await records.read("buy-1")
    assert [row.number for row in stored] == [1, 2, 2]
    assert ['"step":"b"' in row.text for row in stored] == [False, True, False]


async def test_workers_that_start_at_once_make_the_tables_once_and_lose_nothing(back_end: BackEnd) -> None:
    workers = [back_end.open() for _ in range(4)]
    await asyncio.gather(*(worker.prepare() for worker in workers))
    runs = [f"run-{number}" for number in range(40)]
    await asyncio.gather(
        *(workers[index % 4].write(request_of("a", "b", run=run)) for index, run in enumerate((*runs, *runs)))
    )
    found = await workers[0].find(EventQuery(limit=1_000))
    assert len(found) == 80


async def test_an_id_that_is_used_again_has_a_record_of_its_own(back_end: BackEnd) -> None:
    records = back_end.open()
    await records.write(request_of("a", "b", execution="e1"))
    later = request_of("c", execution="e2")
    moved = tuple(each.model_copy(update={"at": each.at + timedelta(days=1)}) for each in later.events)
    await records.write(later.model_copy(update={"events": moved}))
    assert [row.execution for row in await records.read("buy-1")] == ["e2"]
    assert [row.execution for row in await records.read("buy-1", "e1")] == ["e1", "e1"]


async def test_a_record_without_its_first_event_is_still_read(back_end: BackEnd) -> None:
    """That it is missing has to show, when nobody but the database knows the run any more."""
    records = back_end.open()
    await records.write(request_of("a", "b", "c"))
    await back_end.do("DELETE FROM surefoot_events WHERE number = 1")
    stored = await records.read("buy-1")
    assert [row.number for row in stored] == [2, 3]
    assert break_of(texts(stored)) == "event 1 is missing: event 2 stands in its place"


async def test_what_a_database_refuses_is_told_without_what_was_to_be_written(back_end: BackEnd) -> None:
    await back_end.open().write(request_of("a"))
    await back_end.do("DROP TABLE surefoot_events")
    with pytest.raises(RecordsUnavailable) as refused:
        await back_end.open().write(request_of("secret"))
    error: BaseException | None = refused.value
    while error is not None:
        assert "user:secret" not in str(error)
        error = error.__cause__


@pytest.mark.parametrize(
    ("query", "runs", "steps"),
    [
        (EventQuery(process="buy"), ["buy-1"], ["a", "a.x", "a[0]", "ab", "b"]),
        (EventQuery(process="buy", step="a"), ["buy-1"], ["a", "a.x", "a[0]"]),
        (EventQuery(kind="approval.*"), ["sell-1"], ["c"]),
        (EventQuery(by="user:c"), ["sell-1"], ["c"]),
        (EventQuery(since=BEGAN + timedelta(minutes=4)), ["buy-1"], ["b"]),
        (EventQuery(run="s*"), ["sell-1"], ["c"]),
        (EventQuery(limit=1), ["buy-1"], ["b"]),
    ],
)
async def test_events_of_many_runs_are_found_by_what_they_say(
    back_end: BackEnd, query: EventQuery, runs: list[str], steps: list[str]
) -> None:
    records = back_end.open()
    await records.write(request_of("a", "a.x", "a[0]", "ab", "b"))
    await records.write(request_of("c", run="sell-1", process="sell", kind="approval.opened"))
    found = [run_and_step(row) for row in await records.find(query)]
    assert sorted({run for run, _ in found}) == runs
    assert [step for _, step in found] == steps


def run_and_step(row: Stored) -> tuple[str, str | None]:
    event = RunEvent.model_validate_json(row.text)
    return event.run, event.step


TAMPERING = {
    "its text": "UPDATE surefoot_events SET event = replace(event, 'user:b', 'user:x') WHERE number = 2",
    "its actor": "UPDATE surefoot_events SET actor = 'user:x' WHERE number = 2",
    "its time": "UPDATE surefoot_events SET at = '2026-12-01 10:00:00+00:00' WHERE number = 2",
    "its number": "UPDATE surefoot_events SET number = 12 - number",
    "its text is no JSON": "UPDATE surefoot_events SET event = 'x' WHERE number = 2",
    "it is gone": "DELETE FROM surefoot_events WHERE number = 2",
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_a_row_that_somebody_changed_shows(back_end: BackEnd, what: str) -> None:
    records = back_end.open()
    await records.write(request_of("a", "b", "c"))
    await back_end.do(TAMPERING[what])
    stored = await records.read("buy-1", "e1")
    assert any(row.problem for row in stored) or break_of(texts(stored)) is not None


async def test_with_keys_what_an_event_says_cannot_be_read_in_the_database(back_end: BackEnd, tmp_path: Path) -> None:
    one = Keys({"one": bytes(32)}, "one")
    records = back_end.open(one)
    await records.write(request_of("a", "b"))
    rows = await records.database.read(
        lambda connection: connection.exec_driver_sql("SELECT event, sealed FROM surefoot_events").fetchall()
    )
    assert all(event is None and b"user:a" not in bytes(sealed) for event, sealed in rows)
    assert break_of(texts(await records.read("buy-1"))) is None
    other = back_end.open(Keys({"two": base64.b64decode("A" * 44)[:32]}, "two"))
    assert all("cannot be decrypted: key 'one'" in (row.problem or "") for row in await other.read("buy-1"))
    await back_end.do("UPDATE surefoot_events SET number = 3 WHERE number = 2")
    assert "cannot be decrypted" in ((await records.read("buy-1"))[1].problem or "")


async def test_a_database_of_a_later_version_is_said_to_be_and_still_written(back_end: BackEnd) -> None:
    await back_end.open().prepare()
    await back_end.do("UPDATE surefoot_schema SET version_num = '9999'")
    records = back_end.open()
    await records.prepare()
    await records.write(request_of("a"))
    assert len(await records.read("buy-1")) == 1
    assert "9999, which is newer than" in (await records.outdated() or "")


async def test_a_database_of_an_earlier_version_is_not_read_before_a_worker_brought_it_up_to_date(
    back_end: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await back_end.open().write(request_of("a"))
    known = schema._known()
    monkeypatch.setattr(schema, "_known", lambda: ("8888", *known))
    with pytest.raises(RecordsUnavailable, match="a worker of this version brings it up to date"):
        await back_end.open().read("buy-1")


async def test_a_database_without_tables_holds_no_events(back_end: BackEnd) -> None:
    assert await back_end.open().read("buy-1") == []
    assert await back_end.open().find(EventQuery()) == []


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    back_end = BackEnd(RecordSettings(), tmp_path)
    (tmp_path / "records.db").write_text("this is not a database, whatever its name says" * 100)
    records = back_end.open()
    await records.prepare()
    with pytest.raises(RecordsUnavailable, match=r"records\.db: file is not a database"):
        await records.write(request_of("a"))
    await records.close()


@pytest.mark.slow
async def test_postgresql_that_was_restarted_is_written_to_again(postgres_records: BackEnd, postgres: Server) -> None:
    records = postgres_records.open()
    await records.write(request_of("a"))
    await asyncio.to_thread(postgres.restart)
    await records.write(request_of("a", "b"))
    assert [row.number for row in await records.read("buy-1")] == [1, 2]
    await records.close()


@pytest.mark.slow
async def test_a_database_that_is_away_is_named_without_its_password(postgres: Server, tmp_path: Path) -> None:
    away = postgres.url.replace(postgres.url.rpartition(":")[2], "1/postgres")
    settings = RecordSettings(url=away, password="env:P")
    records = BackEnd(settings, tmp_path, {"P": postgres.password}).open()
    await records.prepare()
    with pytest.raises(RecordsUnavailable) as caught:
        await records.write(request_of("a"))
    assert "127.0.0.1:1/postgres" in str(caught.value)
    assert postgres.password not in str(caught.value)
    await records.close()


async def test_every_table_is_made_by_the_migrations(sqlite_records: BackEnd) -> None:
    """The tables as the code knows them are those that the migrations make: Alembic would generate nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from activities.records.tables import metadata

    database: Database = sqlite_records.open().database
    options = {"version_table": "surefoot_schema"}
    await database.write(lambda connection: None)
    difference = await database.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    )
    assert difference == []
    await database.close()
