"""Other arguments, another task, another moment for a step: whether they fit, and what they change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.approvals as approvals
    from contracts.activities import LOAD_PROCESS, LoadProcess
    from contracts.base import Duration, Json
    from contracts.decisions import AgentChange, Repair
    from contracts.errors import ExpressionFailed, Refused, StepError
    from contracts.events import Awaited
    from contracts.process import AgentSpec, AgentStep, EmitStep, EventStep, ProcessStep, ToolStep, Until, WaitStep
    from language.expressions import as_text, expressions_in, names_used, syntax_error
    from language.schema import violations
    from workflows.calls import Call, call_engine
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.planning import BUILT_IN_PLANNER
    from workflows.steps.event import awaited
    from workflows.steps.wait import due

_AWAITED = 'any of {"key": "A-7", "match": "${ event.order == \'A-7\' }", "within": "2h"}'
MATCH_NAMES = frozenset({"event", "input", "steps", "state", "run", "item", "index"})
"""What the match of an event sees."""
_WAIT: TypeAdapter[Any] = TypeAdapter(Duration | Until)


@dataclass(frozen=True)
class Amendment:
    """What an amend changes in a step's record, and how the step looks before and after it, for a reader."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    before: Json = None
    after: Json = None


def amendment(engine: Engine, node: Node, said: Repair) -> Amendment:
    """What an operator's amend comes to.

    Raises:
        Refused: the step has nothing of the kind to amend, or it does not fit.
    """
    if node.is_taken_back:
        return _of_undo(engine, node, said)
    if node.id in engine.waiting and isinstance(node.step, WaitStep):
        return _of_wait(engine, node, said)
    if node.id in engine.waiting and isinstance(node.step, ToolStep | AgentStep):
        return _of_asked(engine, node, said)
    if isinstance(node.step, EventStep) and node.is_leaf:
        return _of_event(engine, node, said)
    return _of_step(engine, node, said)


def task_of(engine: Engine, node: Node) -> str:
    """What an agent step asks of its agent: as the process says, or what an operator put in its place."""
    change = node.record.agent
    if change is not None and change.task is not None:
        return change.task
    return as_text(engine.evaluate(node, cast(AgentStep, node.step).task))


def agent_of(engine: Engine, name: str, change: AgentChange | None = None) -> AgentSpec:
    """The agent that the process declares under a name, with what an operator changed; `planner` there is without
    saying."""
    spec = engine.definition.process.agents.get(name, BUILT_IN_PLANNER)
    changed = change.model_dump(include={"instructions", "model"}, exclude_none=True) if change is not None else {}
    return spec.model_copy(update=changed)


def check_arguments(engine: Engine, node: Node, value: Json) -> None:
    """Raises:
    Refused: the step takes no arguments, or not these.
    """
    if not isinstance(node.step, ToolStep | AgentStep | ProcessStep | EmitStep):
        raise Refused(f"{node.id} is a {node.record.kind} step and has no arguments to amend")
    if node.has_items or node.has_rounds:
        parts = "items" if node.has_items else "rounds"
        raise Refused(f"{node.id} has no arguments of its own; amend its {parts}, or complete it with its output")
    _check_object(node, value)
    if isinstance(node.step, ToolStep):
        _check_call(node, node.step.tool, engine.definition.tools[node.step.tool].parameters, value)


async def check_child_input(engine: Engine, node: Node, value: Json) -> None:
    """What only the process itself can tell of new input for it.

    Raises:
        Refused: the input does not fit the process, or there is none of this name any more.
    """
    process = cast(ProcessStep, node.step).process
    call = Call(f"{node.id}:amend-{workflow.uuid4().hex[:8]}", f"{node.id}: does the input fit {process}?")
    try:
        await call_engine(LOAD_PROCESS, LoadProcess(process=process, input=value), call)
    except StepError as error:
        raise Refused(f"{node.id}: {error}") from error


def _of_step(engine: Engine, node: Node, said: Repair) -> Amendment:
    if said.value is None and said.agent is None:
        raise Refused(f"{node.id}: say what to try it with: new arguments as the value, or `agent` for an agent step")
    changes: dict[str, Any] = {}
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    if said.agent is not None:
        spec = _changeable(engine, node, said.agent)
        changes["agent"] = said.agent
        before["agent"], after["agent"] = _as_told(engine, node), {**spec, **said.agent.model_dump(exclude_none=True)}
    if said.value is not None:
        check_arguments(engine, node, said.value)
        changes |= {"input": said.value, "amended": node.record.amended + 1, "amended_by": said.by}
        before["arguments"], after["arguments"] = _arguments(engine, node), said.value
    return Amendment(changes, before, after)


def _changeable(engine: Engine, node: Node, change: AgentChange) -> dict[str, Json]:
    """What the process itself says of the agent, which holds where the change says nothing."""
    step = node.step
    if not isinstance(step, AgentStep) or node.has_items or node.has_rounds:
        raise Refused(f"{node.id} is no agent step, so it has no task, instructions or model to change")
    given = change.model_dump(exclude_none=True)
    if not given or any(not value or (isinstance(value, str) and not value.strip()) for value in given.values()):
        raise Refused(f"{node.id}: give a task, instructions or a model, none of them empty")
    spec = agent_of(engine, step.agent)
    if change.model is not None and spec.adapter is not None:
        raise Refused(f"{node.id}: {step.agent} is an agent of another framework, which chooses its model itself")
    return {"task": _told_task(engine, node, as_written=True), "instructions": spec.instructions, "model": spec.model}


def _as_told(engine: Engine, node: Node) -> dict[str, Json]:
    spec = agent_of(engine, cast(AgentStep, node.step).agent, node.record.agent)
    return {"task": _told_task(engine, node), "instructions": spec.instructions, "model": spec.model}


def _told_task(engine: Engine, node: Node, *, as_written: bool = False) -> str:
    written = cast(AgentStep, node.step).task
    try:
        return as_text(engine.evaluate(node, written)) if as_written else task_of(engine, node)
    except ExpressionFailed:
        return written


def _arguments(engine: Engine, node: Node) -> Json:
    """What the step would be done with as it stands."""
    if node.record.amended or node.record.input is not None:
        return node.record.input
    try:
        return engine.evaluate(node, node.step.with_)
    except ExpressionFailed:
        return node.step.with_


def _of_undo(engine: Engine, node: Node, said: Repair) -> Amendment:
    undo = node.undoing
    tool = undo.tool if undo is not None else node.step.undo.tool if node.step.undo is not None else None
    if tool is None or said.agent is not None:
        raise Refused(f"{node.id}: it is being taken back, and only the arguments of the call that does so can change")
    _check_object(node, said.value)
    spec = (undo.spec if undo is not None else None) or engine.definition.tools[tool]
    _check_call(node, tool, spec.parameters, said.value)
    changes = {"input": said.value, "amended": node.record.amended + 1, "amended_by": said.by}
    return Amendment(changes, {"arguments": undo.args if undo is not None else None}, {"arguments": said.value})


def _of_wait(engine: Engine, node: Node, said: Repair) -> Amendment:
    try:
        moment = due(engine, node, _WAIT.validate_python(said.value))
    except (ValidationError, StepError) as error:
        wanted = 'a duration from now such as "2h", or {"until": "2026-12-01T09:00:00Z"}'
        raise Refused(f"{node.id} waits; give it {wanted}, not {said.value!r}") from error
    return Amendment({"until": moment}, {"until": _shown(node.record.until)}, {"until": _shown(moment)})


def _of_event(engine: Engine, node: Node, said: Repair) -> Amendment:
    """Another key, another match, other time: what is left out stays as it is."""
    if said.agent is not None:
        _changeable(engine, node, said.agent)
    try:
        change = Awaited.model_validate(said.value)
    except ValidationError as error:
        raise Refused(f"{node.id} waits for an event; give it {_AWAITED}, not {said.value!r}") from error
    if node.record.event is not None:
        raise Refused(f"{node.id} has its event already")
    if not change.model_fields_set:
        raise Refused(f"{node.id} waits for an event; give it {_AWAITED}")
    if change.match is not None and (wrong := _wrong_match(change.match)):
        raise Refused(f"{node.id}: match: {wrong}")
    before = awaited_as_told(engine, node)
    after = change.model_dump(mode="json", exclude_unset=True)
    earlier = cast(dict[str, Json], node.record.input) if node.record.amended else {}
    changes = {"input": {**earlier, **after}, "amended": node.record.amended + 1, "amended_by": said.by}
    return Amendment(changes, before, {**before, **after})


def awaited_as_told(engine: Engine, node: Node) -> dict[str, Json]:
    """What a step waits for, or would; as the process says it where that cannot be told yet."""
    try:
        return awaited(engine, node).model_dump(mode="json")
    except ExpressionFailed:
        step = cast(EventStep, node.step)
        return Awaited(key=step.key, match=step.match, within=step.within).model_dump(mode="json")


def _wrong_match(match: str) -> str | None:
    found = expressions_in(match)
    if not found:
        return f"{match!r} is no expression; write ${{ event.order == 'A-7' }}"
    for expression in found:
        if wrong := syntax_error(expression):
            return wrong[0]
        if unknown := sorted(names_used(expression) - MATCH_NAMES):
            return f"uses {', '.join(unknown)}; there are {', '.join(sorted(MATCH_NAMES))}"
    return None


def _of_asked(engine: Engine, node: Node, said: Repair) -> Amendment:
    """A step that waits until people agree to it: what they decide on becomes another thing."""
    if said.value is None or said.agent is not None:
        raise Refused(f"{node.id} waits until people agree to it; only its arguments can change now, as the value")
    check_arguments(engine, node, said.value)
    state = node.approval
    asked = cast(dict[str, Json], state.subject)["arguments"] if state.edits is None else state.edits
    edited = approvals.edited(state, said.value, said.by)
    return Amendment({"approval": edited}, {"arguments": asked}, {"arguments": said.value})


def _shown(moment: datetime | None) -> Json:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _check_object(node: Node, value: Json) -> None:
    if not isinstance(value, dict):
        raise Refused(f"{node.id}: the new arguments must be a JSON object, for example {{...}}; got {value!r}")


def _check_call(node: Node, tool: str, parameters: dict[str, Any], value: Json) -> None:
    if wrong := violations(parameters, value):
        raise Refused(f"{node.id}: these arguments do not fit {tool}: {'; '.join(wrong)}")
