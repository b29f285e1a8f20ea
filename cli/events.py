"""Events of a record for people: when, who, what happened, why."""

import re
from collections.abc import Iterable

from rich.table import Column, Table
from rich.text import Text

from contracts.base import Json
from contracts.record import ENGINE, EventKind, RunEvent

_DIGEST = re.compile(r"[0-9a-f]{64}")

_WORDS: dict[EventKind, str] = {
    "run.started": "the run starts",
    "run.paused": "the run is paused",
    "run.resumed": "the run goes on",
    "run.ending": "the run is to end",
    "run.completed": "the run is completed",
    "run.failed": "the run has failed",
    "run.undone": "the run has failed, its effects are taken back",
    "run.cancelled": "the run is cancelled",
    "run.note": "a note",
    "run.migrated": "the run goes on under another definition",
    "step.running": "starts",
    "step.waiting": "waits",
    "step.attention": "needs an operator",
    "step.completed": "is completed",
    "step.skipped": "is skipped",
    "step.failed": "has failed",
    "step.cancelled": "is cancelled",
    "step.undoing": "is being taken back",
    "step.undone": "is taken back",
    "step.kept": "is not taken back",
    "step.amended": "is amended",
    "step.repaired": "is repaired",
    "approval.opened": "people are asked",
    "approval.approve": "a vote for it",
    "approval.reject": "a vote against it",
    "approval.withdraw": "a vote is withdrawn",
    "approval.claim": "is claimed",
    "approval.release": "is released",
    "approval.delegate": "is delegated",
    "approval.comment": "a comment",
    "approval.edited": "is edited",
    "approval.reminded": "people are reminded",
    "approval.escalated": "is escalated",
    "approval.expired": "has expired",
    "approval.decided": "is decided",
    "budget.warned": "a budget is nearly used up",
    "budget.raised": "a budget is raised",
    "budget.used_up": "a budget is used up",
    "plan.made": "a plan is made",
    "plan.changed": "the plan is changed",
    "state.written": "the shared state is written",
    "message.refused": "what was said is refused",
    "notice.undelivered": "a notice could not be delivered",
}
_UNSHOWN = frozenset({"key", "child", "error"})
_STYLES = {"completed": "completed", "attention": "attention", "failed": "failed", "rejected": "failed"}


def in_words(event: RunEvent) -> str:
    """What happened. Keys and digests, which nobody reads, are in the JSON."""
    what = f"{event.step} {_WORDS[event.kind]}" if event.step else _WORDS[event.kind]
    shown = ((name, _shown(value)) for name, value in event.data.items() if name not in _UNSHOWN)
    facts = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in shown if text)
    return f"{what}: {facts}" if facts else what


def table_of(events: Iterable[RunEvent], *, runs: bool, header: bool = True) -> Table:
    """`runs`: with a column that says of which run each is."""
    columns = [Column("time", no_wrap=True), Column("who", overflow="fold"), Column("what", overflow="fold", ratio=3)]
    events = list(events)
    why = any(event.reason for event in events)
    if why:
        columns.append(Column("why", overflow="fold", ratio=2))
    if runs:
        columns.insert(1, Column("run", overflow="fold"))
    table = Table(
        *columns,
        box=None,
        show_header=header,
        header_style="faint",
        pad_edge=False,
        padding=(0, 2, 0, 0),
        expand=True,
    )
    for event in events:
        cells = [Text(event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S"), style="faint")]
        cells += [Text(event.run)] if runs else []
        cells.append(Text("" if event.by == ENGINE else event.by, style="name"))
        cells.append(Text(in_words(event), style=_STYLES.get(event.kind.partition(".")[2], "")))
        cells += [Text(event.reason)] if why else []
        table.add_row(*cells)
    return table


def _shown(value: Json) -> str:
    """A value in one line; nothing of what is large, or a digest."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    text = str(value) if isinstance(value, str | int | float) else ""
    return "" if _DIGEST.fullmatch(text) or "\n" in text else text
