"""Where a process may hold expressions, and which names are in scope at each place alone."""

from collections.abc import Iterator, Mapping

from contracts.approval import Approve
from contracts.base import Json
from contracts.process import (
    AgentSpec,
    AgentStep,
    ApprovalStep,
    EmitStep,
    EventStep,
    GoalStep,
    StateStep,
    Step,
    ToolStep,
    Until,
    WaitStep,
)
from contracts.triggers import ScheduleTrigger, Trigger
from language.source import Path

NONE: frozenset[str] = frozenset()
OUTPUT = frozenset({"output"})
EVENT = frozenset({"event"})
CALL = frozenset({"args", "tool"})
CONDITIONS = frozenset({"when", "success", "for_each", "until", "match"})
"""Keys whose text is one whole expression."""

_Found = tuple[str, Json, frozenset[str]]


def step_strings(path: Path, step: Step) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Every string of a step that may hold expressions, with the names that are in scope there alone."""
    for key, value, extra in (*_of_any(step), *_of_kind(step)):
        for at, text in strings(value, (*path, key)):
            yield at, text, extra


def agent_strings(path: Path, agent: AgentSpec) -> Iterator[tuple[Path, str]]:
    """Every string of an agent's approvals that may hold expressions."""
    for index, approval in enumerate(agent.approve):
        at = (*path, "approve", index)
        yield from strings(_approval(approval), at)
        yield from strings({"when": approval.when}, at)


def trigger_strings(path: Path, trigger: Trigger) -> Iterator[tuple[Path, str, frozenset[str]]]:
    names = NONE if isinstance(trigger, ScheduleTrigger) else EVENT
    match = None if isinstance(trigger, ScheduleTrigger) else trigger.match
    for key, value in (("match", match), ("with", trigger.with_)):
        for at, text in strings(value, (*path, key)):
            yield at, text, names


def strings(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    """Every string in a JSON value, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from strings(item, (*path, index))


def is_condition(path: Path) -> bool:
    """Whether the text at a place is one whole expression. Not inside `with` or `show`, where a key that is called
    `when` means nothing, nor the moment of a `wait`."""
    inside = path[:-1]
    is_argument = any(key in inside for key in ("with", "show", "output", "set", "merge", "append", "add"))
    return path[-1] in CONDITIONS and not is_argument and inside[-1] != "wait"


def _of_any(step: Step) -> Iterator[_Found]:
    yield "for_each", step.for_each, NONE
    yield "when", step.when, NONE
    yield "with", step.with_, NONE
    yield "success", step.success, OUTPUT
    if step.repeat is not None:
        yield "repeat", {"until": step.repeat.until}, OUTPUT
    if step.undo is not None:
        yield "undo", {"with": step.undo.with_}, OUTPUT


def _of_kind(step: Step) -> Iterator[_Found]:
    if isinstance(step, AgentStep):
        yield "task", step.task, NONE
    if isinstance(step, GoalStep):
        yield "goal", step.goal, NONE
        yield "review", _approval(step.review), NONE
    if isinstance(step, ToolStep | AgentStep):
        yield "approve", _approval(step.approve), NONE
    if isinstance(step, ApprovalStep):
        yield "approval", _approval(step.approval), NONE
    if isinstance(step, WaitStep) and isinstance(step.wait, Until):
        yield "wait", {"until": step.wait.until}, NONE
    if isinstance(step, EventStep):
        yield "match", step.match, EVENT
    if isinstance(step, EventStep | EmitStep):
        yield "key", step.key, NONE
    if isinstance(step, StateStep):
        write = step.state
        yield "state", {write.operation: write.operand, "if_version": write.if_version}, NONE


def _approval(approval: Approve | None) -> Json:
    if approval is None:
        return None
    return {"title": approval.title, "show": approval.show, "from": [{"when": row.when} for row in approval.from_]}
