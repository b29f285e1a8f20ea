"""Repairs and cancels: whether one holds, and what it does."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.decisions import Cancel, Receipt, Repair
    from contracts.errors import Cancelled, ErrorInfo, Refused
    from contracts.process import AgentStep, ProcessStep, ToolStep
    from language.schema import violations
    from workflows.ends import Ending
    from workflows.engine import Engine
    from workflows.plan import Node


def check_repair(engine: Engine, repair: Repair) -> None:
    node = engine.parked.get(repair.step)
    if node is None or not node.repairs.empty():
        known = engine.plan.nodes.get(repair.step)
        state = f"it is {known.record.status}" if known else "there is no such step"
        incidents = f"incidents: {', '.join(engine.parked)}" if engine.parked else "the run has no incident"
        raise Refused(f"{repair.step} has no incident to repair ({state}); {incidents}")
    if repair.action == "replan" and not can_replan(node):
        raise Refused(f"{repair.step} was not planned by an agent, so it cannot be replanned; use retry or amend")
    if repair.action == "amend":
        check_arguments(engine, node, repair.value)
    if repair.action == "complete" and node.record.order is None:
        _check_output(engine, node, repair.value)


def can_replan(node: Node) -> bool:
    """Whether a planner can be asked for another plan: for a goal, or a step of a goal's plan."""
    is_of_plan = node.role != "ask" and node.holder.owner is not None and node.holder.owner is node.goal()
    return node.is_goal or is_of_plan


def check_arguments(engine: Engine, node: Node, value: Json) -> None:
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


def repair(engine: Engine, said: Repair) -> Receipt:
    engine.parked[said.step].repairs.put_nowait(said)
    words = {
        "retry": "is tried again",
        "amend": "is tried again with the new arguments",
        "skip": "is skipped",
        "complete": "is completed with the given output",
        "abort": "is given up, and the run with it",
        "replan": "is left to the planner, who is asked for another plan",
    }
    return Receipt(outcome=f"{said.step} {words[said.action]}", status=said.action)


def cancel(engine: Engine, said: Cancel) -> Receipt:
    reason = f"cancelled by {said.by}" + (f": {said.reason}" if said.reason else "")
    stopped = ErrorInfo(type=Cancelled.type_name(), message=reason)
    engine.end(Ending("cancelled", stopped, undo=said.undo, by=said.by))
    return Receipt(outcome="the run stops" + (" and takes its effects back" if said.undo else ""), status="cancelled")
