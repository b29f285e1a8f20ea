"""The chain of a record: whatever is changed, left out, moved or cut off shows."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from contracts.record import (
    BEGINNING,
    MAX_DATA_BYTES,
    Happening,
    RecordMark,
    RecordState,
    RunEvent,
    WriteRecord,
    bounded,
    break_of,
    chained,
)

BEGAN = datetime(2026, 12, 1, 9, 0, 0, 123_456, tzinfo=UTC)


def events_of(count: int, kind: str = "step.completed") -> list[RunEvent]:
    happenings = tuple(
        Happening.model_validate(
            {
                "at": BEGAN + timedelta(seconds=number),
                "kind": kind,
                "step": f"s{number}",
                "data": {"cost": 0.1 * number},
            }
        )
        for number in range(count)
    )
    return chained(WriteRecord(run="r", execution="e", process="p", after=0, previous=BEGINNING, events=happenings))


def lines_of(events: list[RunEvent]) -> list[str]:
    return [event.text for event in events]


def test_a_record_as_it_was_written_holds() -> None:
    events = events_of(6)
    assert break_of(lines_of(events)) is None
    assert break_of(lines_of(events), RecordMark(events=6, head=events[-1].hash)) is None


def test_anybody_can_work_out_the_hashes_with_nothing_but_json_and_sha_256() -> None:
    previous = "0" * 64
    for line in lines_of(events_of(3)):
        event = json.loads(line)
        assert event["previous"] == previous
        previous = event.pop("hash")
        text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == previous


def test_an_event_reads_back_as_the_text_it_was() -> None:
    for line in lines_of(events_of(3)):
        assert RunEvent.model_validate_json(line).text == line


def test_what_goes_through_the_history_leaves_out_what_is_as_ever() -> None:
    state = RecordState(pending=(Happening(at=BEGAN, kind="step.running", step="s"),))
    assert state.model_dump(mode="json")["pending"] == [
        {"at": "2026-12-01T09:00:00.123456Z", "kind": "step.running", "step": "s"}
    ]
    assert RecordState.model_validate_json(state.model_dump_json()) == state


def edited(lines: list[str]) -> None:
    lines[2] = lines[2].replace('"s2"', '"s9"')


def edited_with_its_hash(lines: list[str]) -> None:
    event = json.loads(lines[2]) | {"by": "user:mallory"}
    del event["hash"]
    text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    lines[2] = json.dumps({**event, "hash": hashlib.sha256(text.encode()).hexdigest()})


def garbled(lines: list[str]) -> None:
    lines[2] = lines[2][:-1]


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (edited, "event 3 was changed: its content does not have its hash"),
        (edited_with_its_hash, "event 4 does not follow event 3: one of them was replaced"),
        (garbled, "event 3 was changed: it is no longer the JSON of an event"),
        (lambda lines: lines.pop(2), "event 3 is missing: event 4 stands in its place"),
        (lambda lines: lines.pop(0), "event 1 is missing: event 2 stands in its place"),
        (lambda lines: lines.insert(1, lines.pop(2)), "event 2 is missing: event 3 stands in its place"),
        (lambda lines: lines.insert(3, lines[2]), "event 3 stands where event 4 belongs"),
        (lambda lines: lines.pop(), "event 6 is missing, with all that follows: the run made 6 events"),
        (lambda lines: lines.append(events_of(7)[-1].text), "event 7 is not of the run, which made 6 events"),
    ],
)
def test_tampering_shows_at_its_first_place(tamper: object, said: str) -> None:
    events = events_of(6)
    lines = lines_of(events)
    tamper(lines)  # type: ignore[operator] # each takes the lines
    assert break_of(lines, RecordMark(events=6, head=events[-1].hash)) == said


def test_a_record_written_anew_from_the_first_event_shows_by_its_head() -> None:
    head = events_of(6)[-1].hash
    forged = lines_of(events_of(6, kind="step.skipped"))
    assert break_of(forged) is None
    assert (break_of(forged, RecordMark(events=6, head=head)) or "").startswith("event 6 was replaced")


def test_a_large_value_is_in_an_event_by_its_digest() -> None:
    large = "x" * MAX_DATA_BYTES
    digest = hashlib.sha256(f'"{large}"'.encode()).hexdigest()
    assert bounded(large) == {"left_out": f"{MAX_DATA_BYTES + 2} bytes", "sha256": digest}
    assert bounded({"at": BEGAN, "none": float("nan")}) == {"at": "2026-12-01T09:00:00.123456Z", "none": None}
