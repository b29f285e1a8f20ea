"""What happened in a run is in its record: every transition once, in order, with who and why; whatever is away."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError

from activities.records.opening import FILE, open_records
from contracts.activities import WRITE_RECORD
from contracts.names import DECIDE, LOG_QUERY, PUT_STATE, REPAIR
from contracts.record import END_KINDS, EventKind, Happening, RecordState, RecordTail, RunEvent, break_of, chained
from contracts.stores import RecordSettings
from tests.business import eventually
from tests.workflows.office import UNDO, Office, Run, open_office
from workflows.record import Record

CHAIN = "\n".join(
    f"  s{number}: {{tool: do.work" + (f", needs: [s{number - 1}]" if number else "") + "}" for number in range(12)
)


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    async with open_office(client) as opened:
        yield opened


async def record_of(run: Run) -> list[RunEvent]:
    """The events that are written, of which the chain holds."""
    lines = [row.text for row in await run.office.records.read(run.id)]
    assert break_of(lines) is None
    return [RunEvent.model_validate_json(line) for line in lines]


async def ended(run: Run) -> list[RunEvent]:
    """The record of a run that has ended, which ends with its end."""
    try:
        result = await run.handle.result()
    except WorkflowFailureError:
        result = None
    view = await run.view()
    events = await record_of(run)
    assert view.record is not None
    assert (len(events), events[-1].hash) == (view.record.events, view.record.head)
    assert events[-1].kind == END_KINDS[view.status]
    assert result is None or result.record == view.record
    return events


def of_step(events: list[RunEvent], step: str) -> list[str]:
    return [event.kind.partition(".")[2] for event in events if event.step == step]


async def at_rest(run: Run) -> None:
    """Once all that the run has begun with is written, and its worker has taken note of it."""

    async def last_events() -> list[int]:
        return [event.event_type for event in (await run.handle.fetch_history()).events[-4:]]

    written = [
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    ]
    await eventually(last_events, lambda events: events == written)


async def activities(run: Run) -> Counter[str]:
    history = await run.handle.fetch_history()
    kind = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    return Counter(
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.event_type == kind
    )


async def test_a_chain_of_tools_costs_one_write_at_its_end(office: Office) -> None:
    run = await office.start(f"process: chain\nsteps:\n{CHAIN}\n", started_by="user:hanna")
    events = await ended(run)
    assert (events[0].kind, events[0].by) == ("run.started", "user:hanna")
    assert {"process", "version", "definition", "input"} <= set(events[0].data)
    assert all(of_step(events, f"s{number}") == ["running", "completed"] for number in range(12))
    completed = next(event for event in events if event.step == "s3" and event.kind == "step.completed")
    assert completed.data["key"] == f"{run.id}/s3"
    assert len(completed.data["output"]) == 64
    assert (await activities(run))[WRITE_RECORD.name] == 1


async def test_what_waits_for_people_is_written_while_it_waits(office: Office) -> None:
    run = await office.start("""
        process: asks
        steps:
          work: {tool: do.work}
          ok: {needs: [work], approval: {title: Go?, from: [{any_of: [group:finance]}]}}
    """)
    await run.waiting("ok")
    await until_written(run)
    assert "step.waiting" in [event.kind for event in await record_of(run)]
    await run.decide("ok", "approve", "user:alice")
    events = await ended(run)
    assert of_step(events, "ok")[-1] == "completed"


async def until_written(run: Run) -> None:
    async with asyncio.timeout(60):
        while (await tail_of(run)).pending:
            await asyncio.sleep(0.02)


async def tail_of(run: Run) -> RecordTail:
    tail: RecordTail = await run.handle.query(LOG_QUERY, result_type=RecordTail)
    return tail


async def test_a_run_that_fails_says_why_it_ends_and_what_was_taken_back(office: Office) -> None:
    run = await office.start(f"""
        process: fails
        steps:
          one: {{tool: do.work, {UNDO}}}
          two: {{needs: [one], tool: do.work, with: {{fails: true}}, on_failure: fail}}
    """)
    events = await ended(run)
    assert of_step(events, "one") == ["running", "completed", "undoing", "undone"]
    ending = next(event for event in events if event.kind == "run.ending")
    assert "two is broken" in ending.reason
    assert ending.data == {"error": "ToolFailed", "undo": True}
    assert events[-1].kind == "run.undone"
    assert "two is broken" in events[-1].reason


async def test_an_undo_that_was_given_up_is_no_completion(office: Office) -> None:
    run = await office.start(
        f"""
        process: keeps
        steps:
          one: {{tool: do.work, {UNDO}}}
          two: {{needs: [one], tool: do.work, with: {{fails: true}}, on_failure: fail}}
    """,
    )
    office.broken.add("undo one")
    await run.parked("one")
    await run.repair("one", "skip", reason="it may stay")
    events = await ended(run)
    assert [kind for kind in of_step(events, "one") if kind != "repaired"] == [
        "running",
        "completed",
        "undoing",
        "attention",
        "kept",
    ]
    kept = next(event for event in events if event.kind == "step.kept")
    assert (kept.by, kept.reason) == ("user:op", "its effect was left as it is")


async def test_who_cancels_and_why_is_in_the_record(office: Office) -> None:
    run = await office.start("process: cancelled\nsteps: {wait: {wait: 1d}}")
    await run.waiting("wait")
    await run.cancel(reason="no longer needed")
    events = await ended(run)
    ending = next(event for event in events if event.kind == "run.ending")
    assert (ending.by, ending.reason) == ("user:op", "cancelled by user:op: no longer needed")
    assert (events[-1].kind, events[-1].by) == ("run.cancelled", "user:op")


async def test_a_run_cancelled_through_temporal_writes_its_end(office: Office) -> None:
    run = await office.start("process: cancelled-by-temporal\nsteps: {wait: {wait: 1d}}")
    await at_rest(run)
    await run.handle.cancel()
    events = await ended(run)
    assert (events[-1].kind, events[-1].by) == ("run.cancelled", "system:temporal")


async def test_a_signal_that_does_not_hold_is_in_the_record(office: Office) -> None:
    run = await office.start(
        "process: refuses\nsteps: {ok: {approval: {title: Go?, from: [{any_of: [group:finance]}]}}}"
    )
    await run.waiting("ok")
    await run.handle.signal(DECIDE, {"step": "ok", "decision": "approve", "by": "user:mallory"})
    await run.until(lambda view: bool(view.refused))
    await run.decide("ok", "approve", "user:alice")
    refused = next(event for event in await ended(run) if event.kind == "message.refused")
    assert (refused.by, refused.step) == ("user:mallory", "ok")
    assert "user:mallory" in refused.reason


@pytest.mark.parametrize("by", ["user:eve\0", "system:surefoot", "system:parent", "x" * 3_000, 7, None])
async def test_what_cannot_be_a_person_or_a_step_is_not_put_down_as_one(office: Office, by: object) -> None:
    """What anyone can send is not to fill columns with what a database refuses, nor to pass for the engine's doing."""
    run = await office.start("process: refuses-names\nsteps: {wait: {wait: 1d}}")
    await run.waiting("wait")
    await run.handle.signal(REPAIR, {"step": "\0" + "x" * 3_000, "action": "skip", "by": by})
    await run.until(lambda view: bool(view.refused))
    await run.cancel()
    refused = next(event for event in await ended(run) if event.kind == "message.refused")
    assert (refused.by, refused.step) == ("system:unknown", None)


async def test_who_repaired_a_step_before_is_not_who_stopped_it(office: Office) -> None:
    office.broken.add("a")
    run = await office.start("process: twice\nsteps: {a: {tool: do.work}}")
    await run.parked("a")
    await run.repair("a", "retry", by="user:alice")
    await run.until(lambda view: any(len(incident.tried) == 2 for incident in view.incidents))
    await run.cancel(by="user:bob")
    events = await ended(run)
    assert [event.by for event in events if event.kind == "step.repaired"] == ["user:alice"]
    assert [event.by for event in events if event.kind == "step.cancelled"] == ["system:surefoot"]
    assert [event.by for event in events if event.kind == "run.ending"] == ["user:bob"]


async def test_writes_to_the_state_are_in_the_record(office: Office) -> None:
    run = await office.start("""
        process: writes
        state: {seen: {initial: 0}}
        steps:
          count: {state: {key: seen, add: 2}}
          hold: {tool: do.held}
    """)
    await office.started["hold"].wait()
    await run.handle.execute_update(PUT_STATE, {"key": "note", "value": "x", "by": "user:alice"})
    office.gates["hold"].set()
    written = [event for event in await ended(run) if event.kind == "state.written"]
    assert [(event.by, event.data["key"], event.data["version"]) for event in written] == [
        ("step:count", "seen", 1),
        ("user:alice", "note", 1),
    ]


async def test_a_run_that_has_ended_takes_nothing_more_and_its_record_ends_with_its_end(
    client: Client, tmp_path: Path
) -> None:
    """While its last events wait for the database, the run is over for everybody else."""
    async with away_office(client, tmp_path) as (office, come_back):
        run = await office.start("process: over\nsteps: {work: {tool: do.work}}")
        await run.until(lambda view: view.status == "completed")
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.handle.execute_update(PUT_STATE, {"key": "late", "value": 1, "by": "user:alice"})
        assert "the run has ended: it is completed" in str(refused.value.cause)
        come_back()
        assert (await ended(run))[-1].kind == "run.completed"


@asynccontextmanager
async def away_office(client: Client, folder: Path) -> AsyncIterator[tuple[Office, Callable[[], None]]]:
    """An office whose records database is away until it is told to come back."""
    home = folder / "home"
    home.write_text("a file where the folder is to be")
    records = open_records(RecordSettings(), home, {})
    async with open_office(client, records=records) as office:
        yield office, home.unlink
    await records.close()


async def test_a_database_that_is_away_holds_up_nothing_but_the_end(client: Client, tmp_path: Path) -> None:
    async with away_office(client, tmp_path) as (office, come_back):
        run = await office.start("""
            process: goes-on
            steps:
              ok: {approval: {title: Go?, from: [{any_of: [group:finance]}]}}
              work: {needs: [ok], tool: do.work}
        """)
        await run.waiting("ok")
        await run.decide("ok", "approve", "user:alice")
        await run.until(lambda view: view.status == "completed")
        assert [step for _, step, _ in office.ledger] == ["work"]
        tail = await tail_of(run)
        assert tail.pending[0].number == 1
        assert tail.mark.events == len(tail.pending)
        described = await run.handle.describe()
        assert described.status is not None
        assert described.status.name == "RUNNING"
        pending = described.raw_description.pending_activities
        assert [each.activity_type.name for each in pending] == [WRITE_RECORD.name]
        come_back()
        assert (await ended(run))[: len(tail.pending)] == list(tail.pending)
        assert (tmp_path / "home" / FILE).exists()


def test_the_chain_goes_on_from_what_was_written_whatever_a_replay_makes_of_it() -> None:
    def record(at: datetime, *kinds: EventKind) -> Record:
        pending = tuple(Happening(at=at, kind=kind) for kind in kinds)
        return Record("run", "execution", "process", RecordState(pending=pending), "run")

    at = datetime(2026, 1, 5, tzinfo=UTC)
    written = chained(record(at, "run.started", "step.running").batch())
    replayed = record(at + timedelta(seconds=7), "run.started", "step.running", "step.completed")
    replayed.was_written(2, written[-1].hash)
    lines = [event.text for event in (*written, *chained(replayed.batch()))]
    assert break_of(lines, replayed.mark) is None
    assert len(lines) == 3
