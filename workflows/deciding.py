"""Decisions: whether one holds, what it does to the approval it is about, and what the record says of it."""

from typing import Any, cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.approvals as approvals
    from contracts.activities import RESOLVE_PEOPLE
    from contracts.asks import Ask
    from contracts.ballot import ApprovalState
    from contracts.base import Json
    from contracts.decisions import Decision, Difference, Receipt
    from contracts.differences import difference
    from contracts.errors import Refused, StepError
    from contracts.people import ResolvePeople
    from contracts.plain import some
    from contracts.process import AgentStep, ApprovalStep, ToolStep
    from contracts.record import ENGINE as BY_ITSELF
    from contracts.record import EventKind
    from language.constraints import refusal
    from language.readers import are_edits_read
    from language.schema import violations
    from workflows.amending import check_arguments
    from workflows.calls import Call, call_engine
    from workflows.electorate import candidates, live_claims
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.operators import check_operator
    from workflows.seats import Seating


def check_decision(engine: Engine, decision: Decision) -> None:
    """Raises:
    Refused: it does not count; why, and what holds instead.
    """
    node = engine.waiting.get(decision.step)
    state = node.record.approval if node else None
    if node is None or state is None or state.outcome is not None:
        raise Refused(_not_waiting(engine, decision.step))
    if node.record.until is not None and workflow.now() >= node.record.until:
        # Its timer may have fired while no worker ran; what was said later does not come before it.
        raise Refused(f"{decision.step}: the time to decide was over {node.record.until:%Y-%m-%d %H:%M:%S} UTC")
    if reason := approvals.refusal(state, decision, workflow.now()):
        raise Refused(f"{decision.step}: {reason}")
    if decision.edits is not None:
        _check_edits(engine, node, decision.edits)


def check_edits_are_read(engine: Engine, decision: Decision) -> None:
    """Raises:
    Refused: nothing would be done with what somebody edits, who would believe that it is.
    """
    node = engine.waiting[decision.step]
    # In a plan, whoever needs the step is told its output, and so is the planner.
    is_open = decision.edits is None or node.role == "ask" or node.goal() is not None
    if is_open or not isinstance(node.step, ApprovalStep) or are_edits_read(engine.definition.process, node.id):
        return
    if workflow.patched("edits-are-read"):
        raise Refused(
            f"{node.id}: nothing of the process reads what is edited here, so that it would not be done; approve or "
            "reject it as it is"
        )


async def check_person(engine: Engine, decision: Decision) -> None:
    """What only the directory can tell of a decision.

    Raises:
        Refused: it is handed to somebody who is not known; or lifts a claim of others, and is not by an operator nor
            by whoever the approval escalates to.
    """
    if decision.decision == "delegate" and decision.to is not None:
        await _check_known(decision)
    if decision.decision == "release":
        state = engine.waiting[decision.step].approval
        trusted = {user for users in state.escalate_to.values() for user in users}
        if decision.by not in trusted and approvals.lifted(state, decision, workflow.now()):
            await check_operator(engine.request, decision.by, "lift the claims of others in")


async def _check_known(decision: Decision) -> None:
    call = Call(f"{decision.step}:person-{workflow.uuid4().hex[:8]}", f"{decision.step}: who is {decision.to}")
    try:
        await call_engine(RESOLVE_PEOPLE, ResolvePeople(names=(cast(str, decision.to),)), call)
    except StepError as error:
        raise Refused(f"{decision.step}: the decision cannot be handed to {decision.to}: {error}") from error


def decide(engine: Engine, decision: Decision) -> Receipt:
    """Take a decision that `check_decision` let through."""
    node = engine.waiting[decision.step]
    before = node.approval
    after = approvals.decide(before, decision, workflow.now())
    node.update(approval=after)
    changed = difference(_edited(before), decision.edits) if decision.edits is not None else ()
    _put_on_record(engine, node, decision, before, changed)
    said = _answer(decision, before, after)
    return Receipt(outcome=said, status=after.outcome or "waiting", difference=changed)


def record_outcome(engine: Engine, node: Node, *, by: str | None = None) -> None:
    """The record of how an approval ended; `by` is None when time decided."""
    state = node.approval
    engine.record.measuring.decided(state.outcome or "", workflow.now() - state.since)
    votes = [vote.model_dump(mode="json", exclude={"comment", "at"}) for vote in state.votes]
    by = by if by is not None else BY_ITSELF
    engine.record.add("approval.decided", by=by, step=node.id, outcome=state.outcome, hash=state.hash, votes=votes)


def _check_edits(engine: Engine, node: Node, edits: Json) -> None:
    if isinstance(node.step, ToolStep | AgentStep):
        check_arguments(engine, node, edits)
    elif node.record.ask is not None:
        _check_edits_of_ask(node.id, node.record.ask, edits)
    elif isinstance(node.step, ApprovalStep) and node.step.approval.edits is not None:
        _check_fit(node.id, node.step.approval.edits, edits)


def _check_edits_of_ask(step: str, ask: Ask, edits: Json) -> None:
    if ask.edits is None:
        raise Refused(f"{step}: there is nothing to edit; approve or reject it as it is")
    _check_fit(step, ask.edits, edits)
    if ask.call is not None and ask.grants and (reason := refusal(ask.grants, ask.call, edits)):
        raise Refused(f"{step}: these edits are not granted: {reason}")


def _check_fit(step: str, schema: dict[str, Json], edits: Json) -> None:
    if wrong := violations(schema, edits):
        raise Refused(f"{step}: these edits do not fit: {'; '.join(wrong)}")


def _edited(state: ApprovalState) -> Json:
    """What edits take the place of: earlier edits, the arguments or the plan, else what is shown."""
    if state.edits is not None:
        return state.edits
    subject = state.subject if isinstance(state.subject, dict) else {}
    return subject.get("arguments", subject.get("plan", state.show))


def _put_on_record(
    engine: Engine, node: Node, decision: Decision, before: ApprovalState, changed: tuple[Difference, ...]
) -> None:
    after = node.approval
    kind = cast("EventKind", f"approval.{decision.decision}")
    about: dict[str, Any] = {"by": decision.by, "step": node.id, "reason": decision.comment}
    data: dict[str, Json] = {"hash": after.hash, **({"id": decision.id} if decision.id else {})}
    if decision.edits is not None:
        engine.record.add("approval.edited", **about, **data, was=before.hash, difference=changed)
    if decision.decision in ("approve", "reject"):
        # An edit voids all votes before, so that a vote that counted is the last one of any.
        vote = after.votes[-1] if after.votes else None
        if vote is not None:
            place = {"for": vote.for_} if vote.for_ else {}
            engine.record.add(kind, **about, **data, stage=vote.stage, **place)
    else:
        to = {"to": decision.to} if decision.to else {}
        engine.record.add(kind, **about, **data, **to, **_reopened(decision, before, after))
    if after.outcome is not None:
        record_outcome(engine, node, by=decision.by)


def _reopened(decision: Decision, before: ApprovalState, after: ApprovalState) -> dict[str, Json]:
    """Whose claims a release lifted, and whose decision counts again by it, or by a withdrawal: they are told."""
    if decision.decision not in ("withdraw", "release"):
        return {}
    now = workflow.now()
    gone = [claim.by for claim in approvals.lifted(before, decision, now)] if decision.decision == "release" else []
    if decision.decision == "release" and not gone:
        return {}
    counted = {decision.by, *candidates(before, now)}.difference(gone)
    asked = [user for user in candidates(after, now) if user not in counted]
    if decision.decision == "withdraw" and not (asked and workflow.patched("reopening-is-told")):
        return {}
    return {"asked": asked, **({"lifted": gone} if gone else {})}


def _answer(decision: Decision, before: ApprovalState, after: ApprovalState) -> str:
    """What holds now, in words."""
    step, by = decision.step, decision.by
    match decision.decision:
        case _ if after.outcome is not None:
            return f"{step} is {after.outcome} by {by}"
        case "approve" if not after.votes:
            waits = _waits(step, after)
            barred = f"{by} cannot approve what they changed themselves, so {waits}"
            return f"edited; {barred if by in after.barred else f'{waits}, and in its turn for {by}'}"
        case "approve":
            return f"counted; {_waits(step, after)}"
        case "withdraw":
            return f"withdrawn; {_waits(step, after)}"
        case "claim":
            claim = next(claim for claim in live_claims(after, workflow.now()) if claim.by == by)
            return f"{step} is kept for {by} until {claim.until:%Y-%m-%d %H:%M} UTC"
        case "release":
            gone = ", ".join(claim.by for claim in approvals.lifted(before, decision, workflow.now()))
            return f"{f'the claim of {gone} is lifted' if gone else f'{step} is given back'}; {_waits(step, after)}"
        case "delegate":
            return f"{decision.to} decides {step} in the place of {by}"
        case _:
            return f"noted; {_waits(step, after)}"


def _waits(step: str, state: ApprovalState) -> str:
    return f"{step} waits for {Seating.of(state).missing} more of {', '.join(state.asked_now)}"


def _not_waiting(engine: Engine, step: str) -> str:
    open_ones = [node.id for node in engine.waiting.values() if node.record.approval]
    instead = f"; waiting for a decision: {some(open_ones)}" if open_ones else "; nothing waits for a decision now"
    node = engine.plan.nodes.get(step)
    if node is None:
        return f"there is no step {step!r} to decide{instead}"
    state = node.record.approval
    if state is not None and state.votes and (node.is_settled or state.outcome):
        votes = ", ".join(f"{vote.decision} by {vote.by}" for vote in state.votes)
        return f"{step} is decided already: {votes}"
    return f"{step} does not wait for a decision; it is {node.record.status}{instead}"
