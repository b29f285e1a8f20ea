"""Steps that run in the place of others: which ones can. Pure."""

from collections.abc import Iterator

from contracts.base import Json
from contracts.errors import Refused
from workflows.nodes import Node
from workflows.plan import Plan


def after(node: Node) -> set[Node]:
    """The steps that wait for this one, directly or not, those around it too."""
    found: set[Node] = set()
    pending = [node]
    while pending:
        each = pending.pop()
        for other in waiting_for(each):
            if other not in found:
                found.add(other)
                pending.append(other)
    return found


def waiting_for(node: Node) -> Iterator[Node]:
    """The steps that wait for this one directly: those that need it, the one it is inside of, the one it stands in
    for."""
    yield from (other for other in node.dependents if not other.is_settled)
    if node.holder.owner is not None:
        yield node.holder.owner
    if node.stands_in_for is not None and node.record.called:
        yield node.stands_in_for


def stand_ins(node: Node) -> Iterator[Node]:
    """The steps that can run instead of it: its declared fallback first, then those beside it that are still to start
    and do not wait for it."""
    if node.role != "step":
        return
    if node.fallback is not None and node.fallback.is_pending:
        yield node.fallback
    later = after(node)
    for other in node.scope.nodes.values():
        if other is not node and other.stands_in_for is None and other.is_pending and other not in later:
            yield other


def stand_in_of(plan: Plan, node: Node, value: Json) -> Node:
    """The step that a `fallback` names, by its name beside the node or its id; without a name the declared one.

    Raises:
        Refused: it cannot stand in.
    """
    found = list(stand_ins(node))
    if value is None and node.fallback is not None and node.fallback in found:
        return node.fallback
    prefix = node.scope.prefix
    named = next((other for other in found if value in (other.id, other.id.removeprefix(prefix))), None)
    if named is not None:
        return named
    instead = f"these can: {', '.join(other.id for other in found)}" if found else "no step beside it can"
    if value is None:
        raise Refused(f"{node.id} declares no fallback; name a step beside it that is still to start; {instead}")
    other = plan.nodes.get(f"{prefix}{value}") or plan.nodes.get(str(value))
    why = "there is no such step" if other is None else f"it is {other.record.status}"
    if other is not None and other.is_pending:
        why = f"it waits for {node.id}, is not beside it, or stands in for another step"
    raise Refused(f"{value} cannot stand in for {node.id}: {why}; {instead}")
