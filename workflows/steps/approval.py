"""Asking people: approval steps, and approvals of what a step is about to do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.activities import RESOLVE_PEOPLE
    from contracts.approval import EDITOR, STARTER, Approve
    from contracts.ballot import ApprovalState
    from contracts.base import Json
    from contracts.decisions import subject_hash
    from contracts.errors import ErrorInfo, Rejected, StepError
    from contracts.people import ResolvePeople
    from contracts.process import ApprovalStep, Retry
    from contracts.record import ENGINE as BY_ITSELF
    from language.expressions import as_text
    from workflows.approvals import decider, lapsed
    from workflows.calls import Call, call_engine, summary
    from workflows.deciding import record_outcome
    from workflows.electorate import Users, check_reachable, names_to_resolve, resolved
    from workflows.ends import Ending
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.steps.common import deadline_of

PATIENT = Retry(attempts=60)
"""An hour, once a minute in the end: nobody waits yet for a directory that does not answer."""
NO_NAMES: Mapping[str, Json] = MappingProxyType({})


async def run_approval(engine: Engine, node: Node) -> Json:
    approval = cast(ApprovalStep, node.step).approval
    if node.record.status != "waiting":
        node.update(approval=None, until=None)
    title = as_text(engine.evaluate(node, approval.title))
    state = await ask_people(engine, node, approval, title=title, show={}, subject={})
    if state.outcome == "rejected" and approval.on_reject == "stop":
        stop_as_rejected(engine, node)
        return None
    return decision_of(state)


def decision_of(state: ApprovalState) -> dict[str, Json]:
    """The output of a step that asked people."""
    last = decider(state)
    return {
        "decision": "approve" if state.outcome == "approved" else "reject",
        "by": last.by if last else None,
        "comment": last.comment if last else "expired",
        "at": workflow.now().isoformat().replace("+00:00", "Z"),
        "edits": state.edits,
    }


async def approved(
    engine: Engine, node: Node, approval: Approve, *, title: str, arguments: dict[str, Json]
) -> dict[str, Json] | None:
    """The arguments that people agreed to, perhaps after edits; None when they did not, and the step has settled."""
    show = {"arguments": arguments}
    state = await ask_people(engine, node, approval, title=title, show=show, subject={"arguments": arguments})
    if state.outcome == "approved":
        # What was shown and decided on, though the step's expressions may give something else by now.
        agreed = cast(dict[str, Json], state.subject["arguments"] if state.edits is None else state.edits)
        node.update(input=agreed)
        return agreed
    if approval.on_reject == "stop":
        stop_as_rejected(engine, node)
    else:
        engine.settle(node, "skipped", error=_rejection(state), by=node.record.by)
    return None


async def ask_people(
    engine: Engine,
    node: Node,
    approval: Approve,
    *,
    title: str,
    show: dict[str, Json],
    subject: dict[str, Json],
    names: Mapping[str, Json] = NO_NAMES,
) -> ApprovalState:
    """Wait until people have decided, or the time they have is over. What was decided on already is not asked again.
    `names`: in scope of the approval's expressions, besides the run's.

    Raises:
        StepError: nobody can decide, or the step's deadline passed.
    """
    if approval.title is not None:
        title = as_text(engine.evaluate(node, approval.title, **names))
    shown = {**show, **cast(dict[str, Any], engine.evaluate(node, approval.show, **names))}
    asked = subject_hash({"run": engine.run, "step": node.id, "title": title, "show": shown, **subject})
    known = node.record.approval
    if known is None or (known.asked != asked and known.outcome is not None):
        opened = await _open(engine, node, approval, title, shown, asked, names)
        opened = opened.model_copy(update={"subject": subject})
        expires = opened.since + approval.expires if approval.expires else None
        node.update(approval=opened, until=expires)
        _record_opened(engine, node)
    if node.approval.outcome is None:
        engine.await_outside(node)
        async with deadline_of(node):
            await _until_decided(engine, node, approval)
        engine.leave(node)
        last = decider(node.approval)
        node.update(by=last.by if last else None, until=None)
    return node.approval


def stop_as_rejected(engine: Engine, node: Node) -> None:
    """End the run for a decision against it."""
    error = _rejection(node.approval)
    # First: what needs this step would start the moment it settles.
    named = error.model_copy(update={"message": f"{node.id}: {error.message}"})
    last = decider(node.approval)
    engine.end(Ending("failed", named, by=last.by if last else BY_ITSELF))
    engine.settle(node, "failed", error=error)


def _rejection(state: ApprovalState) -> ErrorInfo:
    last = decider(state)
    said = f"rejected by {last.by}: {last.comment}" if last else "nobody decided in time, which is a rejection"
    return ErrorInfo(type=Rejected.type_name(), message=f"{state.title} — {said}")


async def _open(
    engine: Engine,
    node: Node,
    approval: Approve,
    title: str,
    show: dict[str, Json],
    asked: str,
    names: Mapping[str, Json],
) -> ApprovalState:
    rows = (row for row in approval.from_ if row.when is None or engine.holds(node, row.when, **names))
    if (row := next(rows, None)) is None:
        raise StepError("no row of the approval's `from` applies, so nobody can decide; add a last row without `when`")
    stages = row.resolved_stages()
    asked_for = names_to_resolve(approval, stages)
    async with engine.working(node):
        call = Call(f"{node.id}:people", f"{node.id}: who decides", PATIENT, priority=engine.request.priority)
        people = await call_engine(RESOLVE_PEOPLE, ResolvePeople(names=asked_for), call)
    if STARTER in approval.not_by and engine.request.started_by is None and workflow.patched("starter-is-known"):
        raise StepError(
            "nobody knows who started this run, whom `not_by: [starter]` keeps from deciding; start it with "
            '"started_by": "user:NAME" in its input'
        )
    starter = (engine.request.started_by,) if engine.request.started_by else ()
    users: Users = {**people.users, STARTER: starter, EDITOR: ()}
    now = workflow.now()
    opened = ApprovalState(
        title=title,
        show=show,
        hash=asked,
        needs_hash=approval.hash == "required",
        asked=asked,
        stages=resolved(stages, users),
        side_by_side=row.side_by_side,
        not_by=tuple(user for name in approval.not_by for user in users[name]),
        bars_editor=EDITOR in approval.not_by,
        editor=_amended_by(node),
        deputies=people.deputies,
        delegates=_delegates(approval, users),
        claim_for=approval.claim,
        since=now,
        remind_at=now + approval.remind if approval.remind else None,
        escalate_at=now + approval.escalate.after if approval.escalate else None,
        escalate_to={name: users[name] for name in approval.escalate.to} if approval.escalate else {},
    )
    check_reachable(opened)
    return opened


def _amended_by(node: Node) -> str | None:
    """The operator who wrote what is asked about."""
    return node.record.amended_by or node.record.by if node.record.amended else None


def _delegates(approval: Approve, users: Users) -> tuple[str, ...] | None:
    if approval.delegate is None:
        return None
    return tuple(dict.fromkeys(user for name in approval.delegate or () for user in users[name]))


def _record_opened(engine: Engine, node: Node) -> None:
    state = node.approval
    engine.record.add(
        "approval.opened",
        step=node.id,
        title=state.title,
        hash=state.hash,
        subject=state.subject or state.show,
        asked=[stage.asked for stage in state.stages],
        until=node.record.until,
    )


async def _until_decided(engine: Engine, node: Node, approval: Approve) -> None:
    while node.approval.outcome is None:
        await _until_something_happens(engine, node, approval)


async def _until_something_happens(engine: Engine, node: Node, approval: Approve) -> None:
    """Until a decision settles it, or the next reminder, escalation or expiry is due."""
    state = node.approval
    escalate_at = None if state.escalated else state.escalate_at
    due = min((at for at in (state.remind_at, escalate_at, node.record.until) if at is not None), default=None)
    try:
        await waiting.until(
            lambda: node.approval.outcome is not None,
            within=None if due is None else max(due - workflow.now(), timedelta(0)),
            summary=None if due is None else summary(f"{node.id}: remind, escalate or expire"),
        )
    except TimeoutError:
        # What was waited for has come, whatever the clock says: what the history holds is the timer.
        _note_time(engine, node, approval, workflow.now() if due is None else max(due, workflow.now()))


def _note_time(engine: Engine, node: Node, approval: Approve, now: datetime) -> None:
    """Expire, escalate, remind: what is due by now. What has expired needs nobody any more."""
    state, about = node.approval, {"step": node.id}
    if node.record.until is not None and now >= node.record.until:
        node.update(approval=lapsed(state, approval.on_expiry))
        engine.record.add("approval.expired", **about, outcome=node.approval.outcome)
        record_outcome(engine, node)
        engine.touch()
        return
    if not state.escalated and state.escalate_at is not None and now >= state.escalate_at:
        state = state.model_copy(update={"escalated": True})
        engine.record.add("approval.escalated", **about, to=state.escalate_to)
    if approval.remind and state.remind_at is not None and now >= state.remind_at:
        state = state.model_copy(update={"reminded": state.reminded + 1, "remind_at": now + approval.remind})
        asked = {name: list(users) for name, users in state.asked_now.items()}
        engine.record.add("approval.reminded", **about, number=state.reminded, asked=asked)
    node.update(approval=state)
    engine.touch()
