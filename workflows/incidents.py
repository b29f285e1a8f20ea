"""What is broken in a run, for a person who did not write its process: what was tried, what holds, what can be done."""

import shlex
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pydantic_core import to_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.decisions import RepairAction
    from contracts.errors import ErrorInfo
    from contracts.incidents import Choice, Incident, Kept
    from contracts.process import AgentStep, EmitStep, EventStep, ProcessStep, Saved, ToolStep
    from language.expressions import as_text
    from workflows.amending import awaited_as_told
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.repairing import output_schemas, possible
    from workflows.standing_in import after, stand_ins, waiting_for
    from workflows.titles import title_of

MAX_INCIDENTS = 200
"""Of one view."""
MAX_EXPLAINED = 50
"""Incidents of one view that also say what is done, what waits for them and what can be done."""
MAX_NAMED = 20
"""Steps that an incident names, of each kind."""
MAX_COUNTED = 1_000
MAX_TYPED = 200
"""Characters of a value that a command is shown with; a longer one is left to be filled in."""
MAX_OUTPUT = 80
"""Characters of a completed step's output that its line shows."""

_FILLS: dict[str, Json] = {"string": "TEXT", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}


def incidents(
    engine: Engine, bounded: Callable[[Json], Json], only: str | None = None, offset: int = 0
) -> Iterator[Incident]:
    """The open incidents, those first that opened first. `bounded`: cuts what is too large for a view. `only`: of this
    step. `offset`: so many are passed over."""
    if not engine.parked:
        return
    effects = [node for node in engine.plan.walk() if _has_effect(engine, node)]
    kept = tuple(_kept(node) for node in deque(effects, MAX_NAMED))
    parked = (node for node in engine.parked.values() if only is None or node.id == only)
    for number, node in enumerate(islice(parked, offset, offset + MAX_INCIDENTS)):
        incident = _incident(engine, node, bounded)
        if number < MAX_EXPLAINED:
            incident = incident.model_copy(update=_explained(engine, node, kept, len(effects)))
        yield incident


def saved(engine: Engine) -> Saved | None:
    """What the run saves once it is through, by its process's `value`."""
    value = engine.definition.process.value
    if value is None:
        return None
    money = round(value.manual_minutes / 60 * value.hourly_cost, 2)
    return Saved(minutes=value.manual_minutes, money=money, currency=value.currency)


def _incident(engine: Engine, node: Node, bounded: Callable[[Json], Json]) -> Incident:
    record = node.record
    error = record.error or ErrorInfo(type="StepError", message="unknown")
    return Incident(
        step=node.id,
        title=title_of(engine, node),
        of="undo" if node.is_taken_back else "step",
        error=error.model_copy(update={"detail": bounded(error.detail)}),
        since=record.tried[-1].until if record.tried else record.started or engine.started,
        attempts=record.attempts,
        tried=record.tried,
        input=bounded(node.undoing.args if node.undoing is not None else record.input),
        worth=saved(engine),
        spent=engine.usage.cost,
    )


def _explained(engine: Engine, node: Node, kept: tuple[Kept, ...], in_all: int) -> dict[str, Any]:
    waiting = after(node) if not node.is_taken_back else set()
    blocked = (other.id for other in waiting_for(node)) if not node.is_taken_back else iter(())
    return {
        "done": kept,
        "done_in_all": in_all,
        "blocks": tuple(islice(blocked, MAX_NAMED)),
        "waiting": min(MAX_COUNTED, len(waiting)),
        "actions": tuple(
            Choice(action=action, does=does, command=_command(engine, node, action))
            for action, does in possible(engine, node).items()
        ),
    }


def _command(engine: Engine, node: Node, action: RepairAction) -> str:
    words = ["starter.py", "repair", engine.run, node.id, action]
    match action:
        case "amend" if isinstance(node.step, AgentStep) and not node.is_taken_back:
            words += ["--task", "TEXT"]
        case "amend" if isinstance(node.step, EventStep):
            told = {name: value for name, value in awaited_as_told(engine, node).items() if value is not None}
            words += ["--value", _typed(told, "JSON")]
        case "amend":
            given = node.undoing.args if node.undoing is not None else node.record.input
            words += ["--value", _typed(given, "JSON")]
        case "complete" if not node.is_taken_back:
            words += ["--value", _typed(_filled(output_schemas(engine, node)), "JSON")]
        case "fallback":
            first = next(stand_ins(node), None)
            words += ["--value", "STEP" if first is None else first.id]
    if action in ("skip", "complete") and node.record.kind == "approval":
        words += ["--reason", "WHY"]
    return shlex.join(words)


def _typed(value: Json, otherwise: str) -> str:
    text = to_json(value).decode() if value is not None else ""
    return text if 0 < len(text) <= MAX_TYPED else otherwise


def _filled(schemas: list[dict[str, Any]]) -> Json:
    """A value in the shape of a schema, to be filled in; None where there is no schema that says."""
    schema = next((schema for schema in schemas if schema.get("type") or schema.get("properties")), None)
    if schema is None:
        return None
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    if not properties:
        return None if schema.get("type") == "null" else _FILLS.get(str(schema.get("type")))
    required = [name for name in schema.get("required", properties) if name in properties]
    return {name: _example(properties[name]) for name in required}


def _example(schema: dict[str, Any]) -> Json:
    if options := schema.get("enum"):
        return options[0]
    return _FILLS.get(str(schema.get("type")), "VALUE")


def _has_effect(engine: Engine, node: Node) -> bool:
    """Whether it completed, and did something to the world, or had something done."""
    if node.record.status != "completed" or node.record.order is None or not node.is_leaf:
        return False
    if isinstance(node.step, ToolStep):
        return engine.definition.tools[node.step.tool].effect == "write"
    return isinstance(node.step, ProcessStep | EmitStep) or node.step.undo is not None or bool(node.record.undo)


def _kept(node: Node) -> Kept:
    said = as_text(node.record.output) if node.record.output is not None else ""
    came = f": {said[:MAX_OUTPUT]}{'…' if len(said) > MAX_OUTPUT else ''}" if said else ""
    undo = node.step.undo.tool if node.step.undo is not None else next((call.tool for call in node.record.undo), None)
    doing = node.step.description or str(getattr(node.step, node.step.kind))
    return Kept(step=node.id, what=f"{doing}{came}", at=node.record.ended or workflow.now(), undo=undo)
