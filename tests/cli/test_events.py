"""Every kind of event has its words, and a table of them says when, who, what and why."""

import io
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from rich.console import Console

from cli.events import in_words, table_of
from cli.output import THEME
from contracts.record import BEGINNING, EventKind, RunEvent


def event(kind: str, **more: Any) -> RunEvent:
    plain = {"run": "r", "execution": "e", "number": 1, "at": datetime(2026, 12, 1, tzinfo=UTC), "by": "user:mia"}
    return RunEvent.model_validate({**plain, "kind": kind, "previous": BEGINNING, "hash": "0" * 64, **more})


@pytest.mark.parametrize("kind", get_args(EventKind))
def test_every_kind_is_told_in_words(kind: str) -> None:
    assert in_words(event(kind, step="pay")).startswith("pay ")
    assert "." not in in_words(event(kind))


def test_facts_are_told_and_digests_and_keys_are_not() -> None:
    data = {"output": "a" * 64, "key": "r/pay", "attempts": 3, "kept": ["order", "audit"], "plan": {"large": True}}
    said = in_words(event("step.completed", step="pay", data=data))
    assert said == "pay is completed: attempts 3, kept order audit"


def test_a_table_has_time_actor_words_and_reason() -> None:
    screen = Console(file=io.StringIO(), width=140, theme=THEME)
    screen.print(table_of([event("step.skipped", step="pay", reason="paid by hand")], runs=True))
    assert isinstance(screen.file, io.StringIO)
    row = screen.file.getvalue().splitlines()[1]
    assert [part.strip() for part in row.split("  ") if part.strip()][1:] == [
        "r",
        "user:mia",
        "pay is skipped",
        "paid by hand",
    ]
