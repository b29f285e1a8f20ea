"""What people say to a run: checked, taken at once, answered. A repeat with the same id gets the same answer."""

from typing import TypeVar

from pydantic import ValidationError
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.approvals as approvals
    from contracts.asks import Ask
    from contracts.base import Contract, Json
    from contracts.decisions import Cancel, Decision, Receipt, Repair
    from contracts.errors import Cancelled, ErrorInfo, Refused
    from contracts.events import Delivery
    from contracts.process import AgentStep, ProcessStep, ToolStep
    from contracts.state import PutState, StateValue
    from language.constraints import refusal
    from language.schema import violations
    from workflows.ends import Ending
    from workflows.engine import Engine
    from workflows.plan import Node

Message = Decision | Repair | Cancel | PutState
M = TypeVar("M", Decision, Repair, Cancel, PutState)
P = TypeVar("P", bound=Contract)


def parse(model: type[P], payload: tuple[Json, ...]) -> P:
    """The message in what was sent.

    Raises:
        Refused: it is no such message; every field that is wrong is named.
    """
    if len(payload) != 1:
        raise Refused(f"{len(payload)} payloads instead of one; send one {model.__name__.lower()} as a JSON object")
    try:
        return model.model_validate(payload[0])
    except ValidationError as error:
        raise Refused(f"this is no {model.__name__.lower()}: {in_words(error)}") from error


def readable(model: type[P], payload: tuple[Json, ...]) -> P | None:
    """What the engine's own workflows signal; of what they did not send there is nothing to answer."""
    try:
        return parse(model, payload)
    except Refused as error:
        workflow.logger.warning("a signal that nobody of the engine sent: %s", error)
        return None


def in_words(error: ValidationError) -> str:
    """Every field that is wrong, and how."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}" for item in error.errors())


def check(engine: Engine, message: Contract) -> None:
    """Raises:
    Refused: the message does not hold; why, and what holds instead.
    """
    if isinstance(message, Message) and message.id is not None and message.id in engine.seen:
        return
    if isinstance(message, Decision):
        _check_decision(engine, message)
    elif isinstance(message, Repair):
        _check_repair(engine, message)
    elif isinstance(message, Cancel) and engine.ending is not None:
        raise Refused(f"the run is ending already: {engine.ending.error.message}")


def take(engine: Engine, message: Message) -> Receipt | StateValue:
    """Take a message that `check` let through.

    Raises:
        StepError: a write to the shared state that came too late, or does not fit.
    """
    engine.messages += 1
    if message.id is not None and message.id in engine.seen:
        return engine.seen[message.id]
    receipt: Receipt | StateValue
    if isinstance(message, Decision):
        receipt = _decide(engine, message)
    elif isinstance(message, Repair):
        receipt = _repair(engine, message)
    elif isinstance(message, PutState):
        receipt = engine.state.write(
            message.key,
            "set",
            message.value,
            saw=message.version,
            by=message.by,
            at=workflow.now(),
            tainted=message.tainted,
        )
    else:
        receipt = _cancel(engine, message)
    if message.id is not None:
        engine.seen[message.id] = receipt
    engine.touch()
    return receipt


def deliver(engine: Engine, delivery: Delivery) -> None:
    """Hand an event to the step that waits for it; one that waits no more has no use for it."""
    node = engine.plan.nodes.get(delivery.step)
    if node is not None and not node.is_settled and node.record.event is None:
        node.update(event=delivery.event, tainted=delivery.event.tainted)
        engine.touch()


def _check_decision(engine: Engine, decision: Decision) -> None:
    node = engine.waiting.get(decision.step)
    state = node.record.approval if node else None
    if node is None or state is None or state.outcome is not None:
        raise Refused(_not_waiting(engine, decision.step))
    if reason := approvals.refusal(state, decision):
        raise Refused(f"{decision.step}: {reason}")
    if decision.edits is not None and isinstance(node.step, ToolStep | AgentStep):
        _check_arguments(engine, node, decision.edits)
    if decision.edits is not None and node.record.ask is not None:
        _check_edits(node.id, node.record.ask, decision.edits)


def _check_edits(step: str, ask: Ask, edits: Json) -> None:
    if ask.edits is None:
        raise Refused(f"{step}: there is nothing to edit; approve or reject it as it is")
    if wrong := violations(ask.edits, edits):
        raise Refused(f"{step}: these edits do not fit: {'; '.join(wrong)}")
    if ask.call is not None and ask.grants and (reason := refusal(ask.grants, ask.call, edits)):
        raise Refused(f"{step}: these edits are not granted: {reason}")


def _decide(engine: Engine, decision: Decision) -> Receipt:
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


def _check_repair(engine: Engine, repair: Repair) -> None:
    node = engine.parked.get(repair.step)
    if node is None or not node.repairs.empty():
        known = engine.plan.nodes.get(repair.step)
        state = f"it is {known.record.status}" if known else "there is no such step"
        incidents = f"incidents: {', '.join(engine.parked)}" if engine.parked else "the run has no incident"
        raise Refused(f"{repair.step} has no incident to repair ({state}); {incidents}")
    if repair.action == "replan" and not can_replan(node):
        raise Refused(f"{repair.step} was not planned by an agent, so it cannot be replanned; use retry or amend")
    if repair.action == "amend":
        _check_arguments(engine, node, repair.value)
    if repair.action == "complete" and node.record.order is None:
        _check_output(engine, node, repair.value)


def can_replan(node: Node) -> bool:
    """Whether a planner can be asked for another plan: for a goal, or a step of a goal's plan."""
    is_of_plan = node.role != "ask" and node.holder.owner is not None and node.holder.owner is node.goal()
    return node.is_goal or is_of_plan


def _check_arguments(engine: Engine, node: Node, value: Json) -> None:
    if not isinstance(node.step, ToolStep | AgentStep | ProcessStep):
        raise Refused(f"{node.id} is a {node.record.kind} step and has no arguments to amend; use retry")
    if node.has_items:
        raise Refused(
            f"{node.id} has no arguments of its own; amend its items, or complete it with the list of outputs"
        )
    if not isinstance(value, dict):
        raise Refused(f"{node.id}: the new arguments must be a JSON object, for example {{...}}; got {value!r}")
    undoing = node.record.order is not None and node.step.undo is not None
    tool = node.step.undo.tool if undoing and node.step.undo else getattr(node.step, "tool", None)
    if tool is not None and (wrong := violations(engine.definition.tools[tool].parameters, value)):
        raise Refused(f"{node.id}: these arguments do not fit {tool}: {'; '.join(wrong)}")


def _check_output(engine: Engine, node: Node, value: Json) -> None:
    schemas = [node.step.output]
    if isinstance(node.step, ToolStep):
        schemas.append(engine.definition.tools[node.step.tool].returns)
    if node.has_items:
        schemas = [{"type": "array", "items": schema} for schema in schemas if schema] or [{"type": "array"}]
    wrong = [problem for schema in schemas if schema for problem in violations(schema, value)]
    if wrong:
        raise Refused(f"{node.id}: this output does not fit the step's schema: {'; '.join(wrong)}")


def _repair(engine: Engine, repair: Repair) -> Receipt:
    engine.parked[repair.step].repairs.put_nowait(repair)
    said = {
        "retry": "is tried again",
        "amend": "is tried again with the new arguments",
        "skip": "is skipped",
        "complete": "is completed with the given output",
        "abort": "is given up, and the run with it",
        "replan": "is left to the planner, who is asked for another plan",
    }
    return Receipt(outcome=f"{repair.step} {said[repair.action]}", status=repair.action)


def _cancel(engine: Engine, cancel: Cancel) -> Receipt:
    reason = f"cancelled by {cancel.by}" + (f": {cancel.reason}" if cancel.reason else "")
    engine.end(Ending("cancelled", ErrorInfo(type=Cancelled.type_name(), message=reason), undo=cancel.undo))
    return Receipt(outcome="the run stops" + (" and takes its effects back" if cancel.undo else ""), status="cancelled")
