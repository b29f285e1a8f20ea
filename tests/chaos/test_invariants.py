"""A test of the tests: what must hold of undoing is held to the steps of a plan as it is to those of a file."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.run import Cost, RunView, StepView
from runtime.catalog import Catalog
from runtime.client import data_converter
from runtime.settings import PROJECT, Settings
from tests.chaos.invariants import Effect, Evidence, _nothing_again, _undone_in_reverse

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
