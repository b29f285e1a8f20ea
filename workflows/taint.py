"""Where text from outside goes in a run: from what read it to all that refers to it, until people vouch for it."""

from collections.abc import Iterable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import Tainted
    from contracts.process import AgentStep, GoalStep, ToolStep
    from contracts.tools import ToolSpec
    from language import expressions, uses
    from workflows.engine import Engine
    from workflows.nodes import Node, Scope


def is_tainted(engine: Engine, node: Node, *values: Json) -> bool:
    """Whether what these values refer to, as the node sees it, may hold text from outside."""
    found = (text for value in values for text in expressions.expressions_in(value))
    return _is_written_by_tainted(node) or any(_refers(engine, node.scope, text) for text in found)


def is_output_tainted(engine: Engine) -> bool:
    """Whether the run's own output may hold text from outside."""
    written = expressions.expressions_in(engine.definition.process.output)
    return any(_refers(engine, engine.plan.root, text) for text in written)


def has_read(engine: Engine) -> bool:
    """Whether anything in the run may hold text from outside, as what the run fails with then may, too."""
    return any(node.record.tainted for node in engine.plan.walk())


def sees_tainted(engine: Engine, node: Node) -> bool:
    """Whether an agent that works for a node is shown such text: in its task and arguments, and of a plan or its
    planner, in what was done around it."""
    step = node.step
    given: Json = {} if node.record.amended else step.with_
    is_operators = node.record.agent is not None and node.record.agent.task is not None
    task = step.task if isinstance(step, AgentStep) and not is_operators else ""
    task = step.goal if isinstance(step, GoalStep) else task
    if is_tainted(engine, node, task, given):
        return True
    goal = node if node.is_goal else node.goal()
    if goal is None:
        return False
    around: Iterable[Node] = (goal, *node.needs, *goal.needs)
    return any(each.record.tainted for each in around) or any(entry.tainted for entry in engine.state.entries.values())


def note_taint(node: Node, *, is_tainted: bool) -> None:
    """What an agent that worked for a node answered may hold text from outside."""
    if not is_tainted:
        return
    node.update(tainted=True)
    if node.is_goal and node.record.plan is not None:
        node.update(plan=node.record.plan.model_copy(update={"tainted": True}))


def check_call(engine: Engine, node: Node, spec: ToolSpec) -> bool:
    """Whether a tool step's arguments are tainted.

    Raises:
        Tainted: they are, the tool changes the world or sends them out, and nobody is asked or said that this is well.
    """
    step = node.step
    if not isinstance(step, ToolStep) or node.record.amended or not is_tainted(engine, node, step.with_):
        return False
    is_vouched_for = (
        step.approve is not None and step.approve.on_expiry == "reject" and not _is_written_by_tainted(node)
    )
    if spec.is_gated and not is_vouched_for and not step.accepts_untrusted:
        raise Tainted(
            f"{spec.name} would be called with what may be text from outside, and nobody vouches for it; give the step "
            "`approve`, or `accepts_untrusted: true` when the tool takes it as mere data; here: retry with amended "
            "arguments, which are then yours"
        )
    return True


def _refers(engine: Engine, scope: Scope, expression: str) -> bool:
    names = expressions.names_used(expression)
    if "input" in names and engine.request.tainted:
        return True
    if "state" in names and _is_state_tainted(engine, expression):
        return True
    if not names.isdisjoint(("item", "index")) and _are_items_tainted(engine, scope):
        return True
    nodes = (scope.find(name) for name in expressions.steps_used(expression))
    return any(node is not None and node.record.tainted for node in nodes)


def _is_state_tainted(engine: Engine, expression: str) -> bool:
    tainted = {key for key, entry in engine.state.entries.items() if entry.tainted}
    used = uses.keys_used("state", expression)
    return bool(tainted) and (None in used or not tainted.isdisjoint(used))


def _are_items_tainted(engine: Engine, scope: Scope | None) -> bool:
    """Whether the list of the innermost `for_each` around came from what is tainted."""
    while scope is not None and "item" not in scope.names:
        scope = scope.parent
    owner = scope.owner if scope is not None else None
    if owner is None:
        return False
    written = owner.step.for_each
    return is_tainted(engine, owner, list(written) if isinstance(written, tuple) else written)


def _is_written_by_tainted(node: Node) -> bool:
    """Whether a planner who had read such text wrote the step, and nobody has looked at its plan."""
    goal = node.goal()
    if goal is None or goal.record.plan is None or not isinstance(goal.step, GoalStep):
        return False
    return goal.record.plan.tainted and goal.step.review is None
