"""A record is read from wherever it lies, and what is missing or was changed is said."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import Connection, text
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError

from activities.records.opening import open_records
from activities.records.store import Records
from contracts.errors import UnknownRun
from contracts.record import RecordsUnavailable
from contracts.stores import RecordSettings
from runtime.records import RunRecord, record_of
from tests.workflows.office import Office, Run, open_office

PROCESS = """
    process: recorded
    steps:
      one: {tool: do.work}
      ok: {needs: [one], approval: {title: Go?, from: [{any_of: [group:finance]}]}}
      two: {needs: [ok], tool: do.work}
"""


@pytest_asyncio.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    made = open_records(RecordSettings(), tmp_path, {})
    yield made
    await made.close()


@pytest_asyncio.fixture
async def office(client: Client, records: Records) -> AsyncIterator[Office]:
    async with open_office(client, records=records) as opened:
        yield opened


async def waiting(office: Office) -> Run:
    run = await office.start(PROCESS)
    await run.waiting("ok")
    return run


async def completed(office: Office) -> Run:
    run = await waiting(office)
    await run.decide("ok", "approve", "user:alice")
    await run.handle.result()
    return run


async def do(records: Records, statement: str) -> None:
    def change(connection: Connection) -> None:
        connection.execute(text(statement))

    await records.database.write(change)


def kinds(record: RunRecord) -> list[str]:
    return [event.kind for event in record.events]


async def test_a_run_that_goes_on_is_read_with_what_it_has_not_written(office: Office, records: Records) -> None:
    run = await office.start("process: held\nsteps: {hold: {tool: do.held}}")
    await office.started["hold"].wait()
    record = await record_of(office.client, records, run.id)
    assert kinds(record) == ["run.started", "step.running"]
    assert (record.unwritten, record.problem()) == (2, None)
    office.gates["hold"].set()
    await run.handle.result()
    record = await record_of(office.client, records, run.id)
    assert kinds(record) == ["run.started", "step.running", "step.completed", "run.completed"]
    assert (record.unwritten, record.problem()) == (0, None)


async def test_a_run_that_temporal_knows_no_more_is_read_from_the_database(office: Office, records: Records) -> None:
    run = await completed(office)
    record = await record_of(None, records, run.id)
    assert kinds(record)[-1] == "run.completed"
    assert record.problem() is None


async def test_a_tail_that_was_cut_off_shows_with_temporal_and_without(office: Office, records: Records) -> None:
    run = await completed(office)
    await do(records, "DELETE FROM surefoot_events WHERE number > (SELECT max(number) FROM surefoot_events) - 2")
    cut = await record_of(office.client, records, run.id)
    assert "is missing, with all that follows" in (cut.problem() or "")
    assert "it breaks off after event" in ((await record_of(None, records, run.id)).problem() or "")


async def test_a_tail_cut_off_from_a_run_that_goes_on_shows(office: Office, records: Records) -> None:
    run = await waiting(office)
    async with asyncio.timeout(60):
        while (await record_of(office.client, records, run.id)).unwritten:
            await asyncio.sleep(0.05)
    await do(records, "DELETE FROM surefoot_events WHERE number = (SELECT max(number) FROM surefoot_events)")
    assert "is missing, with all that follows" in ((await record_of(office.client, records, run.id)).problem() or "")


async def test_a_row_that_was_changed_shows(office: Office, records: Records) -> None:
    run = await completed(office)
    await do(records, "UPDATE surefoot_events SET actor = 'user:mallory' WHERE number = 3")
    assert (await record_of(office.client, records, run.id)).problem() == (
        "event 3 says something else than its row's actor"
    )


async def test_a_database_that_is_away_leaves_what_the_run_has_and_says_so(client: Client, tmp_path: Path) -> None:
    (tmp_path / "away").write_text("")
    away = open_records(RecordSettings(), tmp_path / "away", {})
    async with open_office(client, records=away) as office:
        run = await waiting(office)
        (tmp_path / "away").unlink()
        (tmp_path / "away" / "records.db").mkdir(parents=True)
        record = await record_of(client, away, run.id)
        assert kinds(record)[0] == "run.started"
        assert "this is only what the run has not written yet" in (record.problem() or "")
        with pytest.raises(RecordsUnavailable):
            await record_of(None, away, run.id)
        await run.handle.terminate()
    await away.close()


async def test_a_run_that_was_terminated_holds_as_far_as_it_goes(office: Office, records: Records) -> None:
    run = await waiting(office)
    async with asyncio.timeout(60):
        while (await record_of(office.client, records, run.id)).unwritten:
            await asyncio.sleep(0.05)
    await run.handle.terminate()
    record = await record_of(office.client, records, run.id)
    assert record.problem() is None
    assert "the run was terminated through Temporal, so its record has no end" in record.notes


async def test_a_run_that_was_reset_keeps_both_courses_and_tells_the_one_it_took(
    office: Office, records: Records
) -> None:
    run = await completed(office)
    before = await record_of(office.client, records, run.id)
    history = await run.handle.fetch_history()
    finished = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    opened = [event.event_id for event in history.events if event.event_type == finished][1]
    request = ResetWorkflowExecutionRequest(
        namespace=office.client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=run.id, run_id=run.handle.result_run_id or ""),
        reason="once more",
        workflow_task_finish_event_id=opened,
        request_id=str(uuid4()),
    )
    await office.client.workflow_service.reset_workflow_execution(request)
    again = Run(office, office.client.get_workflow_handle(run.id, result_type=run.handle._result_type))
    # The server tells the run once more what it was told, which may be before it asks.
    if (await again.until(lambda view: bool(view.waiting) or view.status == "completed")).waiting:
        await again.decide("ok", "approve", "user:bob")
    await again.handle.result()
    after = await record_of(office.client, records, run.id)
    assert after.problem() is None
    assert "the run was reset in Temporal, or somebody" in after.notes[0]
    assert after.lines[0] == before.lines[0]
    assert after.lines[-1] != before.lines[-1]
    alone = await record_of(None, records, run.id)
    assert alone.lines == after.lines


async def test_a_run_that_nobody_knows_is_said_to_be_unknown(office: Office, records: Records) -> None:
    with pytest.raises(UnknownRun):
        await record_of(office.client, records, "no-such-run")
    with pytest.raises(UnknownRun, match="there is no record of a run 'no-such-run'"):
        await record_of(None, records, "no-such-run")


async def test_a_failed_run_tells_its_head_without_a_worker(client: Client, records: Records) -> None:
    async with open_office(client, records=records) as office:
        run = await office.start("process: fails\nsteps: {one: {tool: do.work, with: {fails: true}, on_failure: fail}}")
        with pytest.raises(WorkflowFailureError):
            await run.handle.result()
    record = await record_of(client, records, run.id)
    assert record.known.mark is not None
    assert record.known.mark.events == len(record.lines)
    assert record.problem() is None
