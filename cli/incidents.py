"""An incident for a person who did not write the process: what was tried, what holds, what can be done."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from cli.blocks import commands_text, facts, value_text
from cli.marks import Marks, dollars, moment, saved_text, took
from cli.output import program
from cli.tree import one_line
from contracts.base import Json
from contracts.incidents import Incident, Kept, Tried

MAX_DONE = 8
"""Completed steps that a panel lists; of the others it tells the number."""

_INNER = frozenset({"attempts", "uncertain", "type"})
"""Of an error's detail, what the panel says in its own words."""


def incident_panel(incident: Incident, marks: Marks, now: datetime, *, live: bool = False) -> RenderableType:
    """The whole incident; in a display that is redrawn, what fits there."""
    what = "needs an operator" if incident.of == "step" else "could not be taken back and needs an operator"
    title = Text.assemble(
        (f"{marks.icon('attention')} ", "attention"),
        (f"{incident.step} {what}", "bold"),
        (f"  {one_line(incident.title)}", "faint"),
    )
    rows = list(_rows(incident, marks, now))
    if live:
        rows = [row for row in rows if row[0] not in ("done", "worth")]
    commands = [(_as_here(choice.command), choice.does) for choice in incident.actions]
    return Group(title, facts(rows), Text("  what can be done", style="faint"), commands_text(commands, live=live))


def _rows(incident: Incident, marks: Marks, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    yield "came back", Text(f"{incident.error.type}: {incident.error.message}", style="failed")
    if (detail := _detail(incident.error.detail)) is not None:
        yield "", Text.assemble(value_text(detail), style="faint")
    yield "tried", Text("\n".join(_tries(incident)))
    yield "since", Text(f"{took(incident.since, now)} ago")
    if incident.input is not None:
        yield "with", value_text(incident.input)
    if incident.blocks:
        behind = incident.waiting - len(incident.blocks)
        more = f", and {behind:,} more step{'s' if behind != 1 else ''} behind" if behind > 0 else ""
        yield "holds up", Text(", ".join(incident.blocks) + more)
    if incident.done:
        yield "done", _done(incident, marks)
    if incident.worth is not None or incident.spent:
        yield "worth", Text(_worth(incident))


def _tries(incident: Incident) -> Iterator[str]:
    """A line for each row of tries; the last one's error is shown already."""
    last = incident.tried[-1] if incident.tried else None
    if last is None:
        yield f"{incident.attempts} times"
    for tried in incident.tried:
        failed = f": {one_line(tried.error)}" if tried is not last else ""
        yield f"{_times(tried)}{failed}"


def _times(tried: Tried) -> str:
    if tried.times == 0:
        return f"not at all: it failed before anything was called, at {moment(tried.until)}"
    if tried.times == 1:
        return f"once, at {moment(tried.until)}"
    return f"{tried.times} times in {took(tried.since, tried.until)}, until {moment(tried.until)}"


def _done(incident: Incident, marks: Marks) -> RenderableType:
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for kept in incident.done[-MAX_DONE:]:
        table.add_row(Text.assemble((f"{marks.icon('completed')} ", "completed"), (kept.step, "name")), _kept(kept))
    more = incident.done_in_all - min(MAX_DONE, len(incident.done))
    others = f"{more:,} more, and none of them" if more > 0 else "none of it"
    return Group(table, Text(f"{others} is done again, whatever you choose", style="faint"))


def _kept(kept: Kept) -> Text:
    undone = f"  (undo: {kept.undo})" if kept.undo else ""
    return Text.assemble(one_line(kept.what), (undone, "faint"))


def _worth(incident: Incident) -> str:
    saves = f"{saved_text(incident.worth)}, once the run is through" if incident.worth is not None else ""
    spent = f"{dollars(incident.spent)} spent on models so far" if incident.spent else ""
    return "; ".join(part for part in (saves, spent) if part)


def _detail(detail: Json) -> Json:
    """What an error says besides its message."""
    if not isinstance(detail, dict):
        return None
    return {name: value for name, value in detail.items() if name not in _INNER and value is not None} or None


def _as_here(command: str) -> str:
    """A command of the view, as it is typed where the user is."""
    return program() + command.removeprefix("starter.py")
