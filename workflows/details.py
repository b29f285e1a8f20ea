"""A run as Temporal Web shows it: a page of Markdown, made anew at every step."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.run import RunStatus, StepStatus
    from workflows.engine import Engine
    from workflows.plan import Node
    from workflows.seats import Seating
    from workflows.view import inside_unopened, title_of

MAX_DETAIL_LINES = 100
"""Steps listed in Temporal Web's details; the whole run is in the view."""

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


def details(engine: Engine, status: RunStatus) -> str:
    """The run as Markdown, for Temporal Web."""
    process = engine.definition.process
    lines = [f"### {process.process} is {status}", ""]
    for node in engine.waiting.values():
        if state := node.record.approval:
            asked = ", ".join(state.asked_now)
            lines.append(f"- **{state.title}** — `{node.id}` waits for {asked} ({Seating.of(state).missing} more)")
    for node in engine.parked.values():
        message = node.record.error.message if node.record.error else ""
        lines.append(f"- **⚠ {node.id} needs an operator**: {message}")
    lines += ["", "| | step | | |", "|-|-|-|-|"]
    lines += [_rows(engine, node) for node in engine.plan.first(MAX_DETAIL_LINES)]
    if len(engine.plan.nodes) > MAX_DETAIL_LINES:
        lines.append(f"\n… the whole run: `starter.py status {engine.run}`")
    return "\n".join(lines)


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
    return f"| {MARKS[status]} | `{step}` | {_cell(what)} | {status} {took} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:120]
