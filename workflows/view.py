"""A run as others see it: the view, its status, and what Temporal Web shows. All derived from the steps' records."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Literal

from pydantic_core import to_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import ChildRecord
    from contracts.approval import STARTER
    from contracts.ballot import ApprovalState
    from contracts.base import Json
    from contracts.effects import UndoCall
    from contracts.errors import ErrorInfo, ExpressionFailed
    from contracts.model import Usage
    from contracts.names import OPERATOR
    from contracts.plain import short
    from contracts.process import EventStep, GroupStep, Step
    from contracts.run import (
        Cost,
        Page,
        RunStatus,
        RunView,
        StageView,
        StepStatus,
        StepView,
        Waiting,
    )
    from workflows.effects import undo_calls
    from workflows.electorate import acting_deputies, candidates, live_claims
    from workflows.engine import Engine
    from workflows.gauges import history
    from workflows.incidents import incidents, saved
    from workflows.nodes import Node
    from workflows.seats import Seating, filled_by
    from workflows.titles import title, title_of

_FIRST = Page()
MAX_PAGE_BYTES = 600_000
"""Of a page's values as JSON; with what else a step shows, a page stays under 1 MB."""
MAX_VALUE_BYTES = 64_000
"""Of one value in a page, such as a step's output; a view of the step alone has it whole."""
ATTRIBUTE_BYTES = 2_000
"""Of a search attribute's value. The server terminates a run that sets one of more than 2,048."""
MAX_OPEN = 200
"""Waits of one view."""


def live_status(engine: Engine) -> RunStatus:
    """The status of a run that has not ended."""
    if engine.parked:
        return "attention"
    asking = {node.scope.owner for node in engine.waiting.values() if node.role == "ask"}
    is_waiting = bool(engine.waiting) or engine.paused is not None
    return "waiting" if is_waiting and engine.active <= asking else "running"


def waits_for(engine: Engine) -> list[str]:
    """`operator` for incidents and for a run that is paused, and people and groups whose decision is awaited; sorted.
    Of many only as many as a search attribute holds."""
    states = (node.record.approval for node in engine.waiting.values())
    names = {name for state in states if state is not None for name in _awaited(state)}
    return sorted(_that_fit(([OPERATOR] if engine.parked or engine.paused else []) + sorted(names - {OPERATOR})))


def _that_fit(names: Iterable[str]) -> Iterator[str]:
    left = ATTRIBUTE_BYTES
    for name in names:
        left -= len(json.dumps(name)) + 2  # as the SDK writes them, with what is between them
        if left < 0:
            return
        yield name


def _awaited(state: ApprovalState) -> Iterator[str]:
    """Who is asked, as written, and to whom somebody of them handed their say. Nobody looks for themselves as the
    starter, so that one is named."""
    for name, users in state.asked_now.items():
        yield from users if name == STARTER else (name,)
    yield from (handed.to for handed in state.delegations)


def run_view(
    engine: Engine,
    status: RunStatus,
    *,
    output: object = None,
    error: ErrorInfo | None = None,
    ended: datetime | None = None,
    page: Page = _FIRST,
) -> RunView:
    process = engine.definition.process
    room = _Room()
    waiting = tuple(_waits(engine, page, room))
    broken = tuple(incidents(engine, room.bounded, page.step, page.incidents))
    steps, more = _steps(engine, page, room)
    return RunView(
        run=engine.run,
        process=process.process,
        version=process.version,
        description=process.description,
        status=status,
        input=room.bounded(engine.request.input),
        output=room.bounded(output),
        error=room.in_short(error),
        cost=Cost.of(engine.usage),
        saved=saved(engine) if status == "completed" else None,
        started=engine.started,
        ended=ended,
        started_by=engine.request.started_by,
        rerun_of=engine.request.rerun.of if engine.request.rerun else None,
        steps=steps,
        next=page.offset + len(steps) if more else None,
        waiting=waiting,
        incidents=broken,
        incidents_in_all=len(engine.parked),
        paused=engine.paused,
        remarks=engine.remarks,
        state={
            key: entry.model_copy(update={"value": room.bounded(entry.value)})
            for key, entry in engine.state.entries.items()
        },
        refused=engine.refused,
        history=history(),
        record=engine.record.mark,
    )


class _Room:
    """How much of the outputs a page still takes."""

    def __init__(self) -> None:
        self._left = MAX_PAGE_BYTES

    def kept(self, children: tuple[ChildRecord, ...]) -> tuple[ChildRecord, ...]:
        """Those who worked for a step's agent; a view of the step alone has them when there is no room."""
        size = sum(len(to_json(child)) for child in children)
        if size > self._left:
            return ()
        self._left -= size
        return children

    def bounded(self, value: Json) -> Json:
        """The value, or how large it is when it is too large for the page."""
        size = len(to_json(value)) if value is not None else 0
        if size > min(MAX_VALUE_BYTES, self._left):
            return {"left_out": f"{size} bytes"}
        self._left -= size
        return value

    def in_short(self, error: ErrorInfo | None) -> ErrorInfo | None:
        """The error with as much of its detail."""
        return error and error.model_copy(update={"detail": self.bounded(error.detail)})


def _waits(engine: Engine, page: Page, room: _Room) -> Iterator[Waiting]:
    """The first waits; on the page of one step its own, with everything that it shows."""
    if page.step in engine.waiting:
        node = engine.waiting[page.step]
        state = node.record.approval
        yield _waiting(node).model_copy(update={"subject": state.subject if state is not None else None})
    elif page.step is None:
        waits = map(_waiting, engine.waiting.values())
        asked = waits if page.person is None else (made for made in waits if page.person in made.people)
        for made in islice(asked, MAX_OPEN):
            changes = {"title": short(made.title), "show": room.bounded(made.show), "edits": room.bounded(made.edits)}
            yield made.model_copy(update=changes)


def _steps(engine: Engine, page: Page, room: _Room) -> tuple[tuple[StepView, ...], bool]:
    """The steps of a page, and whether there are more."""
    if page.step is not None:
        found = engine.plan.nodes.get(page.step)
        return ((_step(engine, found, _undo(engine, found)),) if found else (), False)
    views: list[StepView] = []
    for node, unopened in islice(_listed(engine), page.offset, page.offset + page.limit + 1):
        if len(views) == page.limit:
            return tuple(views), True
        made = unopened or _step(engine, node, _undo(engine, node))
        changes = {
            "output": room.bounded(made.output),
            "error": room.in_short(made.error),
            "children": room.kept(made.children),
        }
        views.append(made.model_copy(update=changes))
    return tuple(views), False


def _listed(engine: Engine) -> Iterator[tuple[Node, StepView | None]]:
    for node in engine.plan.walk():
        yield node, None
        for view in inside_unopened(node):
            yield node, view


def inside_unopened(node: Node) -> Iterator[StepView]:
    if node.inner is None and not node.has_items and not node.has_rounds:
        yield from _unopened(node.id, node.step, skipped=node.is_settled)


def _step(engine: Engine, node: Node, undo: tuple[UndoCall, ...]) -> StepView:
    record = node.record
    usage = record.usage or Usage()
    return StepView(
        id=record.id,
        kind=record.kind,
        title=title_of(engine, node),
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
        order=record.order,
        undo=undo,
        notes=record.notes,
        children=record.children,
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
    now = workflow.now()
    return Waiting(
        step=node.id,
        kind="approval",
        title=state.title,
        since=state.since,
        until=node.record.until,
        who=tuple(state.asked_now),
        people=candidates(state, now),
        needed=Seating.of(state).missing,
        votes=state.votes,
        stages=tuple(_stages(state)),
        claims=live_claims(state, now),
        delegations=state.delegations,
        deputies=acting_deputies(state, now),
        comments=state.comments,
        barred=tuple(sorted(state.barred)),
        remind=state.remind_at,
        escalate=None if state.escalated else state.escalate_at,
        reminded=state.reminded,
        show=state.show,
        edits=state.edits,
        hash=state.hash,
    )


def _stages(state: ApprovalState) -> Iterator[StageView]:
    filled = filled_by(state)
    for number, (stage, approved) in enumerate(zip(state.stages, filled, strict=True)):
        is_open = state.side_by_side or number == state.stage
        status: Literal["done", "open", "later"] = "later"
        if len(approved) >= stage.needed:
            status = "done"
        elif is_open:
            status = "open"
        yield StageView(who=tuple(stage.asked), needed=stage.needed, approved=approved, status=status)
