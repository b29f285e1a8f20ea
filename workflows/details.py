"""A run as Temporal Web shows it: a page of Markdown, made anew at every step."""

from datetime import datetime
from itertools import islice

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.run import RunStatus, StepStatus
    from workflows.engine import Engine
    from workflows.plan import Node
    from workflows.seats import Seating
    from workflows.standing_in import waiting_for
    from workflows.titles import title_of
    from workflows.view import inside_unopened

MAX_DETAIL_LINES = 100
"""Steps listed in Temporal Web's details; the whole run is in the view."""

MAX_INCIDENTS = 20
MAX_NAMED = 5
MAX_REMARKS = 5
"""Incidents, steps that wait for one, and notes, as far as the details show them."""

GAP = "\u2003"
"""Temporal Web sets the columns of a table without any space between them."""

MARKS = {
    "pending": "·",
    "running": "▶",
    "waiting": "◆",
    "attention": "⚠",
    "completed": "✔",
    "skipped": "↷",
    "failed": "✘",
    "cancelled": "■",
    "undoing": "↶",
    "undone": "↶",
}

IN_WORDS = {"attention": "needs attention", "failed": "has failed", "undone": "has been undone"}
"""What a run of these statuses does; any other it simply is."""


def details(engine: Engine, status: RunStatus) -> str:
    """The run as Markdown, for Temporal Web."""
    process = engine.definition.process
    lines = [f"### {process.process} {IN_WORDS.get(status, f'is {status}')}", ""]
    for node in engine.waiting.values():
        if state := node.record.approval:
            asked = ", ".join(state.asked_now)
            lines.append(f"- **{state.title}** — `{node.id}` waits for {asked} ({Seating.of(state).missing} more)")
    lines += [_incident(engine, node) for node in islice(engine.parked.values(), MAX_INCIDENTS)]
    if engine.paused is not None:
        why = f": {engine.paused.reason}" if engine.paused.reason else ""
        lines.append(f"- **paused** by {engine.paused.by}{why} — `starter.py resume {engine.run}`")
    for remark in engine.remarks[-MAX_REMARKS:]:
        of = f" of `{remark.step}`" if remark.step else ""
        lines.append(f"- {remark.by} noted{of}: {remark.text}")
    lines += ["", "| | step | | |", "|-|-|-|-|"]
    lines += [_rows(engine, node) for node in engine.plan.first(MAX_DETAIL_LINES)]
    if len(engine.plan.nodes) > MAX_DETAIL_LINES:
        lines.append(f"\n… the whole run: `starter.py status {engine.run}`")
    return "\n".join(lines)


def _incident(engine: Engine, node: Node) -> str:
    """A parked step in short; the view says more."""
    record = node.record
    tries = f", tried {record.attempts} times" if record.attempts > 1 else ""
    blocked = [other.id for other in islice(waiting_for(node), MAX_NAMED)] if not node.is_taken_back else []
    waiting = f"; {', '.join(blocked)} wait{'s' if len(blocked) == 1 else ''} for it" if blocked else ""
    message = record.error.message if record.error else ""
    what = f"**⚠ {node.id} needs an operator**: {message}{tries}{waiting}"
    return f"- {what} — `starter.py status {engine.run}` says what can be done"


def _rows(engine: Engine, node: Node) -> str:
    """A node's lines of the table; made again only when its record changed, since every step asks for all of them."""
    if node.rows is None or node.rows[0] is not node.record:
        record = node.record
        rows = [_row(record.id, title_of(engine, node), record.status, record.started, record.ended)]
        rows += [_row(view.id, view.title, view.status, None, None) for view in inside_unopened(node)]
        node.rows = (record, "\n".join(rows))
    return node.rows[1]


def _row(step: str, what: str, status: StepStatus, started: datetime | None, ended: datetime | None) -> str:
    took = f"{(ended - started).total_seconds():.1f} s" if started and ended else ""
    return f"| {MARKS[status]} | `{step}`{GAP} | {_cell(what)}{GAP} | {status} {took} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:120]
