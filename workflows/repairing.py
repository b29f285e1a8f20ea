"""Repairs and cancels: whether one holds, what it will change, and what it does."""

from collections.abc import Mapping
from itertools import islice

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.remarks as remarks
    from contracts.activities import RETRY_NOW, RetryNow
    from contracts.base import Json
    from contracts.decisions import Cancel, Difference, Receipt, Repair, RepairAction
    from contracts.differences import difference
    from contracts.errors import Cancelled, ErrorInfo, OutcomeUnknown, Refused, StepError
    from contracts.incidents import Repaired
    from contracts.plain import some
    from contracts.process import AgentStep, ApprovalStep, ProcessStep, ToolStep
    from language.schema import violations
    from workflows.amending import amendment, check_child_input
    from workflows.calls import Call, call_engine
    from workflows.effects import is_once_more
    from workflows.ends import Ending
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.standing_in import stand_in_of, stand_ins

TAKES_VALUE = frozenset({"amend", "complete", "fallback", "abort"})

MAX_NAMED = 5
"""Steps that could stand in, as far as a choice names them."""

DECISION = {
    "type": "object",
    "required": ["decision"],
    "properties": {"decision": {"enum": ["approve", "reject"]}, "comment": {"type": "string"}},
}
"""What later steps read of a step that asks people."""

_WORDS: Mapping[RepairAction, str] = {
    "retry": "is tried again",
    "amend": "is tried again with what was amended",
    "skip": "is skipped",
    "complete": "is completed with the given output",
    "abort": "is given up, and the run with it",
    "replan": "is left to the planner, who is asked for another plan",
}
_WORDS_OF_UNDO: Mapping[RepairAction, str] = {
    "retry": "is taken back once more",
    "amend": "is taken back once more, with the new arguments",
    "skip": "stays as it is, with its effect",
    "complete": "counts as taken back by hand",
}


def check_repair(engine: Engine, said: Repair) -> None:
    """Raises:
    Refused: it does not hold; why, and what holds instead.
    """
    if said.action not in TAKES_VALUE and said.value is not None:
        raise Refused(f"{said.action} takes no value; use amend for other arguments, complete for an output")
    if said.action != "amend" and said.agent is not None:
        raise Refused(f"{said.action} changes nothing of an agent; use amend")
    if said.action in ("pause", "resume", "note"):
        remarks.check(engine, said)
        return
    node = engine.parked.get(said.step)
    if node is not None and node.repairs.empty():
        _check_incident(engine, node, said)
    elif said.action == "amend" and (ahead := _ahead(engine, said.step)) is not None:
        amendment(engine, ahead, said)
    elif said.action != "retry" or not _is_called(engine, said.step):
        raise Refused(_no_incident(engine, said))


async def prepare(engine: Engine, said: Repair) -> None:
    """What a repair needs from outside before it is taken: whether a process takes its new input; the server's next
    try of a call at once.

    Raises:
        Refused: it does not hold.
    """
    if said.action == "amend" and said.value is not None:
        node = engine.plan.nodes[said.step]
        if isinstance(node.step, ProcessStep) and not node.is_taken_back:
            await check_child_input(engine, node, said.value)
    if said.action == "retry" and said.step not in engine.parked:
        await _retry_now(engine, engine.plan.nodes[said.step])


def outcome(engine: Engine, said: Repair) -> Receipt:
    """What a repair that `check_repair` let through comes to, whether it is taken or only looked at."""
    if said.action in ("pause", "resume", "note"):
        return remarks.outcome(said)
    node = engine.plan.nodes[said.step]
    if said.step not in engine.parked:
        if said.action == "retry":
            return Receipt(outcome=f"{node.id} is tried again now, with all its attempts ahead", status="retry")
        return Receipt(outcome=f"{node.id} is amended", status="amend", difference=_difference(engine, node, said))
    words = (_WORDS_OF_UNDO if node.is_taken_back else _WORDS).get(said.action)
    if words is None:
        words = f"goes on with {stand_in_of(engine.plan, node, said.value).id} in its place"
    return Receipt(outcome=f"{node.id} {words}", status=said.action, difference=_difference(engine, node, said))


def repair(engine: Engine, said: Repair) -> Receipt:
    receipt = outcome(engine, said)
    if said.action in ("pause", "resume", "note"):
        remarks.take(engine, said)
        return receipt
    node = engine.plan.nodes[said.step]
    is_parked = said.step in engine.parked
    engine.record.add(
        "step.repaired" if is_parked or said.action == "retry" else "step.amended",
        by=said.by,
        step=node.id,
        reason=said.reason,
        action=said.action,
        difference=receipt.difference,
    )
    pending = said if is_parked and said.action == "replan" else None
    node.update(repaired=Repaired(action=said.action, by=said.by, at=workflow.now(), pending=pending))
    if is_parked:
        node.repairs.put_nowait(said)
    elif said.action == "amend":
        node.update(**amendment(engine, node, said).changes)
    return receipt


def cancel(engine: Engine, said: Cancel) -> Receipt:
    reason = f"cancelled by {said.by}" + (f": {said.reason}" if said.reason else "")
    stopped = ErrorInfo(type=Cancelled.type_name(), message=reason)
    engine.end(Ending("cancelled", stopped, undo=said.undo, by=said.by))
    return Receipt(outcome="the run stops" + (" and takes its effects back" if said.undo else ""), status="cancelled")


def possible(engine: Engine, node: Node) -> dict[RepairAction, str]:
    """What can be done about a parked step, each with what it comes to, the least drastic first."""
    if node.is_taken_back:
        return {
            "retry": "try again to take it back",
            "amend": "take it back with other arguments, under a key of its own",
            "complete": "it was taken back by hand",
            "skip": "leave its effect as it is, and take back the others",
        }
    may_have_happened = node.record.error is not None and node.record.error.type == OutcomeUnknown.type_name()
    if engine.ending is not None:
        return {
            "complete": "it did happen: it is then taken back with the others; give its output",
            "skip": "it did not happen, or its effect is to stay",
        }
    found: dict[RepairAction, str] = {"retry": _retry(engine, node, may_have_happened=may_have_happened)}
    if node.is_leaf and node.record.kind in ("tool", "process", "emit"):
        found["amend"] = "try it again with other arguments, under a key of its own"
    elif node.is_leaf and node.record.kind == "event":
        found["amend"] = "wait once more, for another key or match, or longer"
    elif node.is_leaf and node.record.kind == "agent":
        found["amend"] = "try it again with another task, other instructions, another model or other arguments"
    found["complete"] = "it did happen, or was done by hand: go on with its output"
    if others := [other.id for other in islice(stand_ins(node), MAX_NAMED)]:
        found["fallback"] = f"go on with another step in its place, and with that one's output: {', '.join(others)}"
    if can_replan(node):
        found["replan"] = "have the planner change what has not begun of the plan"
    found["skip"] = "go on without it; what needs only this step is skipped too"
    found["abort"] = "give the run up and take its effects back (--no-undo leaves them)"
    return found


def _retry(engine: Engine, node: Node, *, may_have_happened: bool) -> str:
    if may_have_happened:
        return "do it again, once you know that it did not happen; else it happens twice"
    if node.record.unaccepted and is_once_more(engine.definition, node.step):
        later = "; all of it is taken back with the run" if node.step.undo is not None else ""
        return f"do it once more, though what it did stands{later}"
    if isinstance(node.step, ProcessStep) and node.record.stands:
        return f"start it anew, though what it did stands: {some(node.record.stands)}"
    return "try it again as it is"


def can_replan(node: Node) -> bool:
    """Whether a planner can be asked for another plan: for a goal, or a step of a goal's plan."""
    is_of_plan = node.role != "ask" and node.holder.owner is not None and node.holder.owner is node.goal()
    return node.is_goal or is_of_plan


def _check_incident(engine: Engine, node: Node, said: Repair) -> None:
    choices = possible(engine, node)
    if said.action not in choices:
        raise Refused(_impossible(engine, node, said.action, choices))
    if said.action == "amend":
        amendment(engine, node, said)
    elif said.action == "complete" and not node.is_taken_back:
        _check_output(engine, node, said.value)
    elif said.action == "fallback":
        stand_in_of(engine.plan, node, said.value)
    if said.action in ("skip", "complete") and _asks_people(node) and not said.reason.strip():
        raise Refused(f"{node.id} asks people; going on without their decision needs a reason")


def _asks_people(node: Node) -> bool:
    return node.role == "ask" or isinstance(node.step, ApprovalStep)


def _impossible(engine: Engine, node: Node, action: RepairAction, choices: Mapping[RepairAction, str]) -> str:
    why = {
        "replan": "was not planned by an agent, so it cannot be replanned",
        "amend": f"is a {node.record.kind} step and has no arguments of its own to amend",
        "fallback": "has no step beside it that is still to start and could stand in",
    }.get(action, f"cannot be repaired by {action}")
    if node.is_taken_back:
        why = f"is being taken back, which {action} does not go with"
    elif engine.ending is not None:
        why = "may have happened when the run was stopped; all there is to say is whether it did"
    return f"{node.id} {why}; what can be done: {', '.join(choices)}"


def output_schemas(engine: Engine, node: Node) -> list[dict[str, Json]]:
    """What an output given by hand has to fit."""
    step, process = node.step, engine.definition.process
    schemas = [step.output]
    if isinstance(step, ToolStep):
        schemas.append(engine.definition.tools[step.tool].returns)
    if isinstance(step, AgentStep) and step.output is None and step.agent in process.agents:
        schemas.append(process.agents[step.agent].output)
    if _asks_people(node):
        schemas.append(DECISION)
    found = [schema for schema in schemas if schema]
    if node.has_items:
        items = len(node.record.input) if isinstance(node.record.input, list) else None
        count = {} if items is None else {"minItems": items, "maxItems": items}
        return [{"type": "array", "items": schema, **count} for schema in found or [{}]]
    return found


def _check_output(engine: Engine, node: Node, value: Json) -> None:
    wrong = [problem for schema in output_schemas(engine, node) for problem in violations(schema, value)]
    if wrong:
        raise Refused(f"{node.id}: this output does not fit the step's schema: {'; '.join(wrong)}")


def _difference(engine: Engine, node: Node, said: Repair) -> tuple[Difference, ...]:
    if said.action == "amend":
        amended = amendment(engine, node, said)
        return difference(amended.before, amended.after)
    if said.action == "complete" and not node.is_taken_back:
        return difference({"output": node.record.output}, {"output": said.value})
    return ()


def _ahead(engine: Engine, step: str) -> Node | None:
    """A step whose input can still be changed, since it has not begun, or waits for time or for people to agree."""
    node = engine.plan.nodes.get(step)
    if node is None or engine.ending is not None:
        return None
    return node if node.is_pending or node.id in engine.waiting else None


def _is_called(engine: Engine, step: str) -> bool:
    """Whether a tool is being called for it, by an activity that the server may be waiting to try again."""
    node = engine.plan.nodes.get(step)
    return node is not None and node in engine.active and isinstance(node.step, ToolStep)


async def _retry_now(engine: Engine, node: Node) -> None:
    call = Call(f"{node.id}:retry-{workflow.uuid4().hex[:8]}", f"{node.id}: try it now")
    request = RetryNow(workflow_id=engine.run, run_id=workflow.info().run_id, activity_id=node.id)
    try:
        found = await call_engine(RETRY_NOW, request, call)
    except StepError as error:
        raise Refused(f"{node.id}: the server was asked to try it now, and did not: {error}") from error
    if not found.was_waiting:
        at = f"its try {found.attempt} is under way" if found.attempt else "no call of it is open now"
        raise Refused(f"{node.id} does not wait for its next try: {at}")


def _no_incident(engine: Engine, said: Repair) -> str:
    node = engine.plan.nodes.get(said.step)
    if node is None:
        state = "there is no such step, or what it is inside has not begun"
    else:
        mended = node.record.repaired
        by = f", since {mended.by} said {mended.action} at {mended.at:%H:%M:%S} UTC" if mended is not None else ""
        state = f"it is {node.record.status}{by}"
        if said.action == "amend":
            state += "; what is at work goes on to its end, and what completed is not done again"
    incidents = f"incidents: {', '.join(engine.parked)}" if engine.parked else "the run has no incident"
    ending = f"; the run is ending: {engine.ending.error.message}" if engine.ending is not None else ""
    return f"{said.step or 'the run'} has no incident to repair ({state}); {incidents}{ending}"
