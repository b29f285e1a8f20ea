"""A test of the tests: what must hold of undoing is held to the steps of a plan as it is to those of a file, and what
people and calls were told to the runs' records."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.record import BEGINNING, Happening, WriteRecord, chained
from contracts.run import Cost, RunView, StepView
from runtime.catalog import Catalog
from runtime.client import data_converter
from runtime.settings import PROJECT, Settings
from tests.chaos.evidence import Completed, Effect, Evidence, Written
from tests.chaos.invariants import (
    _counted_as_told,
    _each_effect_once,
    _nothing_again,
    _state_written_once,
    _undone_in_reverse,
)
from tests.chaos.people import Said

RUN = "supplier-onboarding-0"
STEPS = {
    "company": (),
    "checks": ("company",),
    "checks.record": ("company",),
    "checks.account": ("checks.record",),
    "activate": ("checks",),
}


def evidence(*undone: str) -> Evidence:
    """Of a run that was cancelled after three steps had effects, of which these were undone, in this order."""
    wrote = ("checks.record", "checks.account", "activate")
    made = [
        Effect(f"{RUN}/{step}", number, "write", f"{RUN}/{step}/undo" if step in undone else None)
        for number, step in enumerate(wrote)
    ]
    made += [Effect(f"{RUN}/{step}/undo", number, "undo", None) for number, step in enumerate(undone, len(wrote))]
    view = RunView(
        run=RUN,
        process="supplier-onboarding",
        version=1,
        status="cancelled",
        cost=Cost(),
        started=datetime(2026, 1, 5, tzinfo=UTC),
        steps=tuple(
            StepView(id=step, kind="tool", title=step, status="undone", needs=needs) for step, needs in STEPS.items()
        ),
    )
    catalog = Catalog.load([PROJECT / "processes"])
    return Evidence(made, [], set(), [], {RUN: view}, catalog, data_converter(Settings()), Counter())


@pytest.mark.parametrize(
    ("undone", "wrong"),
    [
        (("activate", "checks.account", "checks.record"), []),
        (("activate", "checks.account"), [f"{RUN}/checks.record was not undone, and {RUN} is cancelled"]),
        (
            ("activate", "checks.record", "checks.account"),
            [f"{RUN}/checks.record was undone before {RUN}/checks.account, which needed it"],
        ),
        (
            ("checks.account", "checks.record", "activate"),
            [
                f"{RUN}/checks.record was undone before {RUN}/activate, which needed it",
                f"{RUN}/checks.account was undone before {RUN}/activate, which needed it",
            ],
        ),
    ],
)
def test_what_is_left_over_or_undone_too_early_is_told(undone: tuple[str, ...], wrong: list[str]) -> None:
    assert _undone_in_reverse(evidence(*undone)) == wrong


@pytest.mark.parametrize(
    ("status", "missed", "wrong"),
    [
        ("completed", "", []),
        ("completed", "record", [f"{RUN}/record completed and has no effect"]),
        ("completed", "training[1]", [f"{RUN}/training[1] completed and has no effect"]),
        ("failed", "record", []),
    ],
)
def test_a_step_that_is_taken_for_done_and_was_never_called_is_told(status: str, missed: str, wrong: list[str]) -> None:
    """`training` is made for each of two courses, `courses` only reads, and `welcome` was not come to."""
    done = ("record", "courses", "training", "training[0]", "training[1]")
    steps = [StepView(id=step, kind="tool", title=step, status="completed") for step in done]
    skipped = StepView(id="welcome", kind="tool", title="welcome", status="skipped")
    changed = {"process": "employee-onboarding", "status": status, "steps": (*steps, skipped)}
    keys = [f"{RUN}/{step}" for step in ("record", "training[0]", "training[1]") if step != missed]
    seen = replace(
        evidence(),
        views={RUN: evidence().views[RUN].model_copy(update=changed)},
        effects=[Effect(key, number, "write", None) for number, key in enumerate(keys)],
        scheduled={*keys},
    )
    assert _each_effect_once(seen) == wrong


@pytest.mark.parametrize(
    ("retried", "wrong"),
    [
        ({}, [f"{RUN}/checks/plan-3.1 completed 2 times"]),
        ({(RUN, "checks"): 1}, []),
        ({(RUN, "checks.terms"): 1}, []),
        ({(RUN, "activate"): 1}, [f"{RUN}/checks/plan-3.1 completed 2 times"]),
    ],
)
def test_a_planner_is_asked_again_only_for_what_was_tried_again(
    retried: dict[tuple[str, str], int], wrong: list[str]
) -> None:
    seen = replace(evidence(), retried=Counter(retried), agents=Counter({f"{RUN}/checks/plan-3.1": 2}))
    assert _nothing_again(seen) == wrong


@pytest.mark.parametrize(
    ("step", "retried", "is_allowed"),
    [("top_up", {}, False), ("top_up", {"top_up": 1}, True), ("reserve", {"reserve": 1}, False)],
)
def test_a_call_is_made_again_only_when_what_it_came_to_was_not_accepted(
    step: str, retried: dict[str, int], is_allowed: bool
) -> None:
    """Of the order desk only `top_up` says what must hold of its output."""
    view = evidence().views[RUN].model_copy(update={"process": "order-desk"})
    tries = Counter({(RUN, of): times for of, times in retried.items()})
    twice = [Completed("1", RUN, step, "warehouse.reserve", f"{RUN}/{step}")] * 2
    seen = replace(evidence(), views={RUN: view}, retried=tries, completed=twice)
    assert _nothing_again(seen) == ([] if is_allowed else [f"{RUN}/{step} completed 2 times"])


ALICE = Said(RUN, "approval.approve", "activate", "user:alice", "alice-1")
BOB = Said(RUN, "approval.approve", "activate", "user:bob", "bob-1")
RETRY = Said(RUN, "step.repaired", "checks", "user:tom")
OPENED = Said(RUN, "approval.opened", "activate", "system:surefoot")
DECIDED = Said(RUN, "approval.decided", "activate", "user:bob")


def record(events: list[Said], voters: tuple[str, ...] = ("user:alice", "user:bob")) -> list[str]:
    """Of the run, in which this happened; what was decided was decided by these."""
    at = datetime(2026, 1, 5, tzinfo=UTC)
    happened = tuple(
        Happening(at=at, kind=event.kind, by=event.by, step=event.step, data=facts(event, voters)) for event in events
    )
    request = WriteRecord(run=RUN, execution="1", process="p", after=0, previous=BEGINNING, events=happened)
    return [event.text for event in chained(request)]


def facts(event: Said, voters: tuple[str, ...]) -> dict[str, Any]:
    return {"votes": [{"by": voter} for voter in voters]} if event is DECIDED else {"id": event.id}


VOTED = [OPENED, ALICE, BOB, DECIDED]


@pytest.mark.parametrize(
    ("acknowledged", "lines", "wrong"),
    [
        ({ALICE: 3, BOB: 3, RETRY: 1}, record([RETRY, *VOTED]), []),
        ({ALICE: 3}, record([OPENED, ALICE]), []),
        ({}, record([RETRY, *VOTED]), []),
        ({ALICE: 3}, record([OPENED]), [f"{ALICE} was said 3 times and acknowledged 3 times; counted 0 times"]),
        ({}, record([ALICE, ALICE]), [f"{ALICE} was said 3 times and acknowledged 0 times; counted 2 times"]),
        ({RETRY: 2}, record([RETRY]), [f"{RETRY} was said 3 times and acknowledged 2 times; counted 1 times"]),
        (
            {ALICE: 3, BOB: 3},
            record(VOTED, ("user:bob", "user:carol")),
            [f"activate of {RUN} was decided by ['user:bob', 'user:carol'], and ['user:alice', 'user:bob'] voted"],
        ),
        ({}, record(VOTED)[1:], [f"the record of {RUN}: event 1 is missing: event 2 stands in its place"]),
    ],
)
def test_what_was_acknowledged_is_counted_once(
    acknowledged: dict[Said, int], lines: list[str], wrong: list[str]
) -> None:
    said = Counter(dict.fromkeys((ALICE, BOB, RETRY), 3))
    told = replace(evidence(), said=said, acknowledged=Counter(acknowledged), records={RUN: lines})
    assert _counted_as_told(told) == wrong


def test_of_a_run_that_goes_on_the_record_is_not_yet_looked_at() -> None:
    assert _counted_as_told(replace(evidence(), said=Counter({ALICE: 1}), acknowledged=Counter({ALICE: 1}))) == []


@pytest.mark.parametrize(
    ("answered", "wrong"),
    [
        ([2, 3], []),
        ([3], ["version 2 of table in {run} was written, and no call was answered so"]),
        ([2, 3, 4], ["version 4 of table in {run} was answered, and is not in the record"]),
    ],
)
def test_the_shared_state_holds_what_calls_were_answered(answered: list[int], wrong: list[str]) -> None:
    """A step wrote version 1, in the first round of two, and an agent's calls the others."""
    view = evidence().views[RUN]
    opened = StepView(id="round#2.open", kind="state", title="open", status="completed")
    by = {1: "step:round#1.open", 2: "step:round#1.clerk", 3: "step:round#1.clerk"}
    happened = tuple(
        Happening(at=view.started, kind="state.written", by=who, data={"key": "table", "version": version})
        for version, who in by.items()
    )
    lines = chained(WriteRecord(run=RUN, execution="1", process="p", after=0, previous=BEGINNING, events=happened))
    seen = replace(
        evidence(),
        views={RUN: view.model_copy(update={"steps": (opened,)})},
        records={RUN: [line.text for line in lines]},
        answered={Written(RUN, "table", version) for version in answered},
    )
    assert _state_written_once(seen) == [each.format(run=RUN) for each in wrong]


def test_of_a_run_that_goes_on_what_was_answered_is_not_yet_looked_at() -> None:
    assert _state_written_once(replace(evidence(), answered={Written(RUN, "table", 1)})) == []
