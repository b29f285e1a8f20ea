"""Decisions: whether one holds, and what it does to the approval it is about."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.approvals as approvals
    from contracts.asks import Ask
    from contracts.base import Json
    from contracts.decisions import Decision, Receipt
    from contracts.errors import Refused
    from contracts.process import AgentStep, ToolStep
    from language.constraints import refusal
    from language.schema import violations
    from workflows.amending import check_arguments
    from workflows.engine import Engine


def check_decision(engine: Engine, decision: Decision) -> None:
    node = engine.waiting.get(decision.step)
    state = node.record.approval if node else None
    if node is None or state is None or state.outcome is not None:
        raise Refused(_not_waiting(engine, decision.step))
    if reason := approvals.refusal(state, decision):
        raise Refused(f"{decision.step}: {reason}")
    if decision.edits is not None and isinstance(node.step, ToolStep | AgentStep):
        check_arguments(engine, node, decision.edits)
    if decision.edits is not None and node.record.ask is not None:
        _check_edits(node.id, node.record.ask, decision.edits)


def _check_edits(step: str, ask: Ask, edits: Json) -> None:
    if ask.edits is None:
        raise Refused(f"{step}: there is nothing to edit; approve or reject it as it is")
    if wrong := violations(ask.edits, edits):
        raise Refused(f"{step}: these edits do not fit: {'; '.join(wrong)}")
    if ask.call is not None and ask.grants and (reason := refusal(ask.grants, ask.call, edits)):
        raise Refused(f"{step}: these edits are not granted: {reason}")


def decide(engine: Engine, decision: Decision) -> Receipt:
    node = engine.waiting[decision.step]
    state = approvals.count(node.approval, decision, workflow.now())
    node.update(approval=state)
    if state.outcome is not None:
        return Receipt(outcome=f"{decision.step} is {state.outcome} by {decision.by}", status=state.outcome)
    asked = ", ".join(approvals.deciders(state))
    more = approvals.missing(state)
    return Receipt(outcome=f"counted; {decision.step} waits for {more} more of {asked}", status="waiting")


def _not_waiting(engine: Engine, step: str) -> str:
    open_ones = [node.id for node in engine.waiting.values() if node.record.approval]
    instead = f"; waiting for a decision: {', '.join(open_ones)}" if open_ones else "; nothing waits for a decision now"
    node = engine.plan.nodes.get(step)
    if node is None:
        return f"there is no step {step!r} to decide{instead}"
    state = node.record.approval
    if state is not None and state.votes and (node.is_settled or state.outcome):
        votes = ", ".join(f"{vote.decision} by {vote.by}" for vote in state.votes)
        return f"{step} is decided already: {votes}"
    return f"{step} does not wait for a decision; it is {node.record.status}{instead}"
