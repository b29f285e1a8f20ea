"""A run's plan while it runs: scopes of nodes, and who waits for whom.

A node is a step in one scope, or one item of a `for_each`. Each knows how many of its needs are unsettled, so that
settling a step costs the number of steps that need it, whatever the size of the plan.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.base import Json
from contracts.decisions import Repair
from contracts.process import GroupStep, Step
from contracts.run import SETTLED, ApprovalState, StepRecord


@dataclass(eq=False)
class Scope:
    """The steps that see each other by name: a run's, a group's, or the single one of a `for_each` item."""

    prefix: str
    parent: "Scope | None" = None
    owner: "Node | None" = None
    names: Mapping[str, Json] = field(default_factory=dict)
    nodes: "dict[str, Node]" = field(default_factory=dict)
    unsettled: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def find(self, name: str) -> "Node | None":
        """The step of this name here, else outward."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.nodes:
                return scope.nodes[name]
            scope = scope.parent
        return None

    def visible_names(self) -> dict[str, Json]:
        """`item` and `index` as seen from here; the innermost `for_each` wins."""
        outer = self.parent.visible_names() if self.parent else {}
        return {**outer, **self.names}


@dataclass(eq=False)
class Node:
    """A step at run time. `record` is its only state that outlives a continue-as-new."""

    step: Step
    scope: Scope
    record: StepRecord
    needs: "tuple[Node, ...]" = ()
    dependents: "list[Node]" = field(default_factory=list)
    missing: int = 0
    inner: Scope | None = None
    items: "list[Node]" = field(default_factory=list)
    is_item: bool = False
    task: asyncio.Task[None] | None = None
    interruptible: bool = True
    done: asyncio.Event = field(default_factory=asyncio.Event)
    repairs: "asyncio.Queue[Repair]" = field(default_factory=asyncio.Queue)
    rows: tuple[StepRecord, str] | None = None
    decided: Literal["approved", "rejected"] | None = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def is_settled(self) -> bool:
        return self.record.status in SETTLED

    @property
    def is_untouched(self) -> bool:
        """Whether a fresh start of the run would make the same record."""
        return self.record.status == "pending" and not self.record.amended and not self.record.tries

    @property
    def is_leaf(self) -> bool:
        """Whether it does something itself, rather than hold other steps."""
        return not isinstance(self.step, GroupStep) and (self.step.for_each is None or self.is_item)

    @property
    def approval(self) -> ApprovalState:
        """The open approval.

        Raises:
            LookupError: the node has none; only approval steps that have started do.
        """
        if self.record.approval is None:
            raise LookupError(f"{self.id} has no open approval")
        return self.record.approval

    def update(self, **changes: Any) -> None:
        self.record = self.record.model_copy(update=changes)

    def view(self) -> Json:
        """What `steps.ID` is in an expression."""
        return {"output": self.record.output, "status": self.record.status}

    def inside(self) -> "Iterator[Node]":
        """The nodes directly inside: a group's steps, a `for_each`'s items."""
        yield from self.items
        if self.inner is not None:
            yield from self.inner.nodes.values()

    def predecessors(self) -> "Iterator[Node]":
        """What must have been before this: its needs and its group's, and what is inside it."""
        yield from self.inside()
        node: Node | None = self
        while node is not None:
            yield from node.needs
            node = node.scope.owner


class Plan:
    """All nodes of a run by id, growing as groups and items open."""

    def __init__(self, steps: Mapping[str, Step], records: Mapping[str, StepRecord]) -> None:
        self.nodes: dict[str, Node] = {}
        self._records = records
        self.root = self._open(Scope(prefix=""), steps)
        self._reopen()

    def open_group(self, node: Node, steps: Mapping[str, Step]) -> Scope:
        """The scope of a group's steps; opened again after a continue-as-new, it holds what they had come to."""
        node.inner = self._open(
            Scope(prefix=f"{node.id}.", parent=node.scope, owner=node),
            steps,
        )
        return node.inner

    def open_item(self, node: Node, index: int, item: Json) -> Node:
        """The node of one item of a `for_each`."""
        scope = Scope(prefix="", parent=node.scope, owner=node, names={"item": item, "index": index})
        made = self._add(scope, f"{node.id}[{index}]", node.step, is_item=True)
        node.items.append(made)
        return made

    def _reopen(self) -> None:
        """After a continue-as-new: what had been opened is opened again, the finished too, since it may be undone."""
        nodes = [node for node in self.nodes.values() if node.record.status not in ("pending", "skipped")]
        while nodes:
            node = nodes.pop()
            if node.step.for_each is not None and not node.is_item:
                for index, item in enumerate(node.record.input or ()):
                    self.open_item(node, index, item)
            elif isinstance(node.step, GroupStep):
                self.open_group(node, node.step.steps)
            nodes.extend(inner for inner in node.inside() if inner.record.status not in ("pending", "skipped"))

    def walk(self) -> Iterator[Node]:
        """Every node, outer before inner, in the order of the file."""
        stack = list(reversed(self.root.nodes.values()))
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(list(node.inside())))

    def _open(self, scope: Scope, steps: Mapping[str, Step]) -> Scope:
        for name, step in steps.items():
            scope.nodes[name] = self._add(scope, f"{scope.prefix}{name}", step)
        for node in scope.nodes.values():
            found = (scope.find(name) for name in node.step.needs)
            node.needs = tuple(need for need in found if need is not None)
            for need in node.needs:
                if not need.is_settled:
                    need.dependents.append(node)
                    node.missing += 1
        scope.unsettled = sum(not node.is_settled for node in scope.nodes.values())
        if not scope.unsettled:
            scope.settled.set()
        return scope

    def _add(self, scope: Scope, node_id: str, step: Step, *, is_item: bool = False) -> Node:
        record = self._records.get(node_id) or StepRecord(id=node_id, kind=step.kind)
        node = Node(step=step, scope=scope, record=record, is_item=is_item)
        self.nodes[node_id] = node
        return node
