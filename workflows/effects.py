"""What a step did, and the calls by which that is taken back."""

from collections import Counter
from typing import NamedTuple, cast

from contracts.base import Json, nests_too_deep
from contracts.effects import Unaccepted, UndoCall
from contracts.process import AgentStep, Step, ToolStep, Undo
from contracts.run import Definition
from workflows.evaluating import Evaluating
from workflows.nodes import Node


class Effect(NamedTuple):
    """Of a step's own: the key under which it is taken back, and the output that says how."""

    key: str
    output: Json


def is_once_more(definition: Definition, step: Step) -> bool:
    """Whether each call of the step is another effect, though its key is the same."""
    return isinstance(step, ToolStep) and not definition.tools[step.tool].repeatable


def has_effects(definition: Definition, node: Node) -> bool:
    """Whether the step itself did something that is to be taken back, or that stands."""
    step = node.step
    is_write = isinstance(step, ToolStep) and definition.tools[step.tool].effect == "write" and not node.has_items
    return not node.has_rounds and (step.undo is not None or is_write)


def remember(run: Evaluating, node: Node, output: Json, after: int) -> None:
    """Keep what a step did whose output was not accepted. `after`: how many steps had completed."""
    key = node.record.key(run.origin)
    is_read = node.step.undo is not None and not nests_too_deep(output)
    made = Unaccepted(key=key, output=output if is_read else None, after=after)
    earlier = (each for each in node.record.unaccepted if each.key != key or is_once_more(run.definition, node.step))
    node.update(unaccepted=(*earlier, made))


def owed(run: Evaluating, node: Node) -> list[UndoCall | Effect]:
    """What is to be taken back of a node, the last first; empty when it has no `undo`, or came to no output and nothing
    that worked for it did."""
    record = node.record
    if record.status == "undone":
        return []
    is_its_own = not (node.has_items or node.has_rounds or (record.undo and not isinstance(node.step, AgentStep)))
    if node.step.undo is None or not is_its_own:
        return [*record.undo]
    made = [(each.key, each.output) for each in record.unaccepted]
    if record.status in ("completed", "undoing", "attention") and record.order is not None:
        key = record.key(run.origin) if made else record.effect(run.origin)
        is_by_hand = record.repaired is not None and record.repaired.action == "complete"
        if made and made[-1][0] == key and (is_by_hand or not is_once_more(run.definition, node.step)):
            made.pop()  # It is the same effect, of which more is known now.
        made.append((key, record.output))
    times: Counter[str] = Counter()
    own: list[UndoCall | Effect] = []
    for key, output in made:
        times[key] += 1
        own.insert(0, Effect(f"{key}/undo" + (f"+{times[key]}" if times[key] > 1 else ""), output))
    return [*own, *record.undo]


def as_call(run: Evaluating, node: Node, effect: UndoCall | Effect) -> UndoCall:
    """Raises:
    ExpressionFailed: the arguments of the step's `undo` cannot be worked out.
    """
    if isinstance(effect, UndoCall):
        return effect
    undo = cast(Undo, node.step.undo)
    return UndoCall(tool=undo.tool, args=run.evaluate(node, undo.with_, output=effect.output), key=effect.key)


def undo_calls(run: Evaluating, node: Node) -> tuple[UndoCall, ...]:
    """How what this node did is taken back, first call first.

    Raises:
        ExpressionFailed: the arguments of its `undo` cannot be worked out.
    """
    return tuple(as_call(run, node, each) for each in owed(run, node))
