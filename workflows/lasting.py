"""What of a run stands whatever is taken back: the effects of steps that change something and have no `undo`. Pure."""

from collections.abc import Iterable, Iterator
from itertools import islice

from contracts.grants import Grant
from contracts.process import AgentStep, EmitStep, GoalStep, GroupStep, ProcessStep, StateStep, Step, ToolStep
from contracts.run import Definition
from contracts.state import BUILT_IN
from contracts.tools import PROCESS_PREFIX, granted
from workflows.nodes import Node
from workflows.plan import Plan

MAX_TOLD = 20
"""Effects that a sub-process tells its parent of; one is enough for a rerun to ask."""


def is_done(node: Node) -> bool:
    return node.record.order is not None and node.record.status != "undone"


def stands(definition: Definition, node: Node) -> bool:
    """Whether it had an effect, on the world or on the run's state, that was not taken back."""
    return ((is_done(node) and node.is_leaf) or has_forgotten_rounds(node)) and _changes(definition, node.step)


def has_forgotten_rounds(node: Node, after: int = 0) -> bool:
    """Whether there were rounds before its last, and after this one, that completed and of which nothing could be
    taken back."""
    known = node.inner.nodes if node.inner is not None else {}
    numbers = range(after + 1, node.record.rounds)
    return node.has_rounds and any(f"{node.id}#{number}" not in known for number in numbers)


def left_inside(definition: Definition, node: Node) -> tuple[str, ...]:
    """What sub-processes and agents did for a step and an undo of it leaves as it is, each as `step (tool)`."""
    step, record = node.step, node.record
    if step.undo is not None and not (isinstance(step, ProcessStep) and record.undo):
        return ()  # The step's own `undo` takes back all of it.
    if isinstance(step, AgentStep) and node.is_leaf and record.started is not None and _writes(definition, step.agent):
        return (in_words(node), *record.stands)
    return record.stands


def left(definition: Definition, plan: Plan) -> tuple[str, ...]:
    """What a run did and nobody can take back, each as `step (tool)`. Its shared state is none of that, since the run
    that is made anew has its own."""
    return tuple(islice(_left(definition, plan.root.nodes.values()), MAX_TOLD))


def in_words(node: Node) -> str:
    match node.step:
        case ToolStep(tool=tool):
            return f"{node.id} ({tool})"
        case AgentStep(agent=agent):
            return f"{node.id} (agent {agent})"
        case EmitStep(emit=topic):
            return f"{node.id} (emit {topic})"
    return node.id


def _left(definition: Definition, nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node.step, ProcessStep | AgentStep) and node.is_leaf:
            yield from left_inside(definition, node)
        elif node.step.undo is not None and _has_done(node) and not (node.has_items or node.has_rounds):
            continue
        elif (stands(definition, node) or node.record.unaccepted) and not isinstance(node.step, StateStep):
            yield in_words(node)
        else:
            yield from _left(definition, node.inside())


def _has_done(node: Node) -> bool:
    return is_done(node) or bool(node.record.unaccepted)


def _changes(definition: Definition, step: Step) -> bool:
    match step:
        case ToolStep(tool=tool):
            return definition.tools[tool].effect == "write"
        case AgentStep(agent=agent):
            return bool(_writes_of(definition, [agent]))
        case ProcessStep() | EmitStep() | StateStep():
            return True
        case GroupStep(steps=steps):
            return any(_changes(definition, inner) for inner in steps.values())
        case GoalStep(tools=tools, agents=agents):
            return bool(_writes_granted(definition, tools) or _writes_of(definition, agents))
    return False


def _writes(definition: Definition, agent: str) -> bool:
    """Whether it may change something itself, outside of the run: not by a process, which tells what it leaves."""
    found = _writes_of(definition, [agent])
    return any(not tool.startswith(PROCESS_PREFIX) and tool not in BUILT_IN for tool in found)


def _writes_of(definition: Definition, agents: Iterable[str]) -> set[str]:
    """The tools that change something, and the processes, that these agents and those who may work for them can
    call."""
    found: set[str] = set()
    seen: set[str] = set()
    pending = list(agents)
    while pending:
        name = pending.pop()
        spec = definition.process.agents.get(name)
        if spec is None or name in seen:
            continue
        seen.add(name)
        found |= _writes_granted(definition, spec.tools)
        pending += (*spec.agents, *spec.peers, *spec.hand_over, *(spec.debate.among if spec.debate else ()))
    return found


def _writes_granted(definition: Definition, grants: Iterable[Grant]) -> set[str]:
    own = granted(grants, definition.tools)
    return {tool for tool in own if tool.startswith(PROCESS_PREFIX) or definition.tools[tool].effect == "write"}
