"""A run as others see it: the view, its status, and what Temporal Web shows. All derived from the steps' records."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorInfo, ExpressionFailed
    from contracts.model import Usage
    from contracts.names import OPERATOR
    from contracts.process import (
        ApprovalStep,
        EventStep,
        GroupStep,
        StateStep,
        Step,
        WaitStep,
    )
    from contracts.run import (
        Cost,
        Incident,
        RunStatus,
        RunView,
        Saved,
        StepStatus,
        StepView,
        UndoCall,
        Waiting,
    )
    from language.expressions import as_text
    from workflows import approvals
    from workflows.engine import Engine
    from workflows.messages import can_replan
    from workflows.plan import Node
    from workflows.undo import undo_calls

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


def live_status(engine: Engine) -> RunStatus:
    """The status of a run that has not ended."""
    if engine.parked:
        return "attention"
    return "waiting" if engine.waiting and not engine.active else "running"


def waits_for(engine: Engine) -> list[str]:
    """People and groups whose decision is awaited, `operator` for incidents; sorted."""
    states = (node.record.approval for node in engine.waiting.values())
    names = {name for state in states if state is not None for name in approvals.deciders(state)}
    return sorted(names | ({OPERATOR} if engine.parked else set()))


def total_usage(engine: Engine) -> Usage:
    return sum((node.record.usage for node in engine.plan.walk() if node.record.usage), Usage())


def run_view(
    engine: Engine,
    status: RunStatus,
    *,
    output: object = None,
    error: ErrorInfo | None = None,
    ended: datetime | None = None,
    refused: tuple[str, ...] = (),
) -> RunView:
    process = engine.definition.process
    return RunView(
        run=engine.run,
        process=process.process,
        version=process.version,
        description=process.description,
        status=status,
        input=engine.request.input,
        output=output,
        error=error,
        cost=Cost.of(total_usage(engine)),
        saved=saved(engine) if status == "completed" else None,
        started=engine.started,
        ended=ended,
        started_by=engine.request.started_by,
        steps=tuple(_steps(engine)),
        waiting=tuple(_waiting(node) for node in engine.waiting.values()),
        incidents=tuple(_incident(engine, node) for node in engine.parked.values()),
        state=engine.state.entries,
        refused=refused,
    )


def saved(engine: Engine) -> Saved | None:
    value = engine.definition.process.value
    if value is None:
        return None
    money = round(value.manual_minutes / 60 * value.hourly_cost, 2)
    return Saved(minutes=value.manual_minutes, money=money, currency=value.currency)


def title(step: Step) -> str:
    """What a step does, before its expressions are filled in."""
    match step:
        case _ if step.description:
            return step.description
        case ApprovalStep():
            return step.approval.title
        case StateStep():
            return f"{step.state.operation} state.{step.state.key}"
        case WaitStep():
            return "wait"
        case GroupStep():
            return ""
    return str(getattr(step, step.kind))


def details(engine: Engine, status: RunStatus) -> str:
    """The run as Markdown, for Temporal Web."""
    process = engine.definition.process
    lines = [f"### {process.process} is {status}", ""]
    for node in engine.waiting.values():
        if state := node.record.approval:
            asked = ", ".join(approvals.deciders(state))
            lines.append(f"- **{state.title}** — `{node.id}` waits for {asked} ({approvals.missing(state)} more)")
    for node in engine.parked.values():
        message = node.record.error.message if node.record.error else ""
        lines.append(f"- **⚠ {node.id} needs an operator**: {message}")
    lines += ["", "| | step | | |", "|-|-|-|-|"]
    lines += (_rows(engine, node) for node in islice(engine.plan.walk(), MAX_DETAIL_LINES))
    if len(engine.plan.nodes) > MAX_DETAIL_LINES:
        lines.append(f"\n… the whole run: `starter.py status {engine.run}`")
    return "\n".join(lines)


def _rows(engine: Engine, node: Node) -> str:
    """A node's lines of the table; made again only when its record changed, since every step asks for all of them."""
    if node.rows is None or node.rows[0] is not node.record:
        views = [_step(engine, node, ()), *_inside_unopened(node)]
        node.rows = (node.record, "\n".join(_row(view) for view in views))
    return node.rows[1]


def _row(view: StepView) -> str:
    took = f"{(view.ended - view.started).total_seconds():.1f} s" if view.started and view.ended else ""
    return f"| {MARKS[view.status]} | `{view.id}` | {_cell(view.title)} | {view.status} {took} |"


def _steps(engine: Engine) -> Iterator[StepView]:
    for node in engine.plan.walk():
        yield _step(engine, node, _undo(engine, node))
        yield from _inside_unopened(node)


def _title(engine: Engine, node: Node) -> str:
    """An approval's question filled in as far as that can be done by now."""
    if node.record.approval is not None:
        return node.record.approval.title
    text = title(node.step)
    if not isinstance(node.step, ApprovalStep) or "${" not in text:
        return text
    try:
        return as_text(engine.evaluate(node, text))
    except ExpressionFailed:
        return text


def _inside_unopened(node: Node) -> Iterator[StepView]:
    if node.inner is None and not node.has_items and not node.has_rounds:
        yield from _unopened(node.id, node.step, skipped=node.is_settled)


def _step(engine: Engine, node: Node, undo: tuple[UndoCall, ...]) -> StepView:
    record = node.record
    usage = record.usage or Usage()
    return StepView(
        id=record.id,
        kind=record.kind,
        title=_title(engine, node),
        status=record.status,
        output=record.output,
        error=record.error,
        attempts=record.attempts,
        started=record.started,
        ended=record.ended,
        needs=tuple(need.id for need in node.needs),
        cost=usage.cost,
        tokens=usage.tokens,
        child=record.child,
        by=record.by,
        plan=record.plan.revisions if record.plan else (),
        undo=undo,
    )


def _unopened(node_id: str, step: Step, *, skipped: bool) -> Iterator[StepView]:
    """The steps of a group that has not opened, or never will."""
    if not isinstance(step, GroupStep):
        return
    for name, inner in step.steps.items():
        inner_id = f"{node_id}.{name}"
        needs = tuple(f"{node_id}.{need}" if need in step.steps else need for need in inner.needs)
        status: StepStatus = "skipped" if skipped else "pending"
        yield StepView(id=inner_id, kind=inner.kind, title=title(inner), status=status, needs=needs)
        if inner.for_each is None:
            yield from _unopened(inner_id, inner, skipped=skipped)


def _undo(engine: Engine, node: Node) -> tuple[UndoCall, ...]:
    try:
        return undo_calls(engine, node)
    except ExpressionFailed:
        return ()


def _waiting(node: Node) -> Waiting:
    state = node.record.approval
    since = node.record.started or workflow.now()
    if state is None or state.outcome is not None:
        kind: Literal["event", "wait"] = "event" if isinstance(node.step, EventStep) else "wait"
        return Waiting(step=node.id, kind=kind, title=title(node.step), since=since, until=node.record.until)
    return Waiting(
        step=node.id,
        kind="approval",
        title=state.title,
        since=state.since,
        until=node.record.until,
        who=tuple(approvals.deciders(state)),
        people=approvals.candidates(state),
        needed=approvals.missing(state),
        votes=state.votes,
        reminded=state.reminded,
        show=state.show,
        hash=state.hash,
    )


def _incident(engine: Engine, node: Node) -> Incident:
    record = node.record
    effects = (other for other in engine.plan.walk() if other.record.status == "completed" and other.step.undo)
    actions = ["retry", "skip", "complete", "abort"]
    if record.kind in ("tool", "agent", "process"):
        actions.insert(1, "amend")
    if can_replan(node):
        actions.insert(-1, "replan")
    return Incident(
        step=node.id,
        title=_title(engine, node),
        error=record.error or ErrorInfo(type="StepError", message="unknown"),
        since=record.started or engine.started,
        attempts=record.attempts,
        input=record.input,
        done=tuple(other.id for other in effects),
        blocks=tuple(other.id for other in node.dependents if not other.is_settled),
        actions=tuple(actions),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:120]
