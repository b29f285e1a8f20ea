"""A run's plan while it runs: all its nodes, growing as groups, plans, items, rounds and asks open."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal

from contracts.approval import Approval
from contracts.asks import Ask
from contracts.base import Json
from contracts.process import ApprovalStep, Fallback, GroupStep, Step
from contracts.run import StepRecord
from workflows.nodes import Node, OnChange, Scope

ASKS_PEOPLE = ApprovalStep(
    approval=Approval.model_validate({"title": "what an agent asks", "from": [{"any_of": ["starter"]}]})
)
"""The step of every ask; who decides and what is shown is in the ask."""


class Plan:
    """All nodes of a run by id."""

    def __init__(
        self, steps: Mapping[str, Step], records: Mapping[str, StepRecord], on_change: OnChange | None = None
    ) -> None:
        self.nodes: dict[str, Node] = {}
        self._on_change = on_change
        self._records = dict(records)
        self._first: tuple[int, list[Node]] = (0, [])
        self.root = Scope(prefix="")
        self.add_steps(self.root, steps)
        self._reopen()

    def open_steps(self, node: Node, steps: Mapping[str, Step]) -> Scope:
        """The scope of a group's or plan's steps; opened again after a continue-as-new, with what they had come to."""
        node.inner = Scope(prefix=f"{node.id}.", parent=node.scope, owner=node)
        self.add_steps(node.inner, steps)
        return node.inner

    def open_items(self, node: Node, items: Iterable[Json]) -> Scope:
        """One node for each item of a `for_each`."""
        node.inner = Scope(prefix="", owner=node)
        for index, item in enumerate(items):
            scope = Scope(prefix="", parent=node.scope, owner=node, names={"item": item, "index": index})
            self._add(scope, f"{node.id}[{index}]", node.step, role="item", holder=node.inner)
        node.inner.recount()
        return node.inner

    def open_round(self, node: Node, number: int) -> Node:
        """The node of one round of a `repeat`; the rounds before it stay, for what they did may be undone."""
        node.inner = node.inner or Scope(prefix="", owner=node)
        round_id = f"{node.id}#{number}"
        if round_id not in node.inner.nodes:
            scope = Scope(prefix="", parent=node.scope, owner=node)
            previous = next(reversed(node.inner.nodes.values()), None)
            self._add(scope, round_id, node.step, role="round", holder=node.inner).previous = previous
        node.inner.recount()
        return node.inner.nodes[round_id]

    def open_ask(self, node: Node, number: int, ask: Ask | None = None) -> Node:
        """The node of what an agent asks people. `ask` is left out of one that had been opened before."""
        node.asks = node.asks or Scope(prefix="", parent=node.scope, owner=node)
        asked = self._add(node.asks, f"{node.id}/ask-{number}", ASKS_PEOPLE, role="ask", holder=node.asks)
        if ask is not None:
            asked.update(ask=ask)
        node.asks.recount()
        return asked

    def forget(self, node: Node) -> None:
        """A node that nobody will ask for again, with all that is known of it: a round that left no effect."""
        for each in (node, *node.all_inside()):
            self.nodes.pop(each.id, None)
            self._records.pop(each.id, None)
        held = node.holder.nodes
        for name in [name for name, other in held.items() if other is node]:
            del held[name]
        for need in node.needs:
            if node in need.dependents:
                need.dependents.remove(node)
        self._first = (0, [])

    def plan_away(self, node: Node) -> None:
        """Forget a step that had not begun. Another may be given its name: what people changed of this one is none of
        that one's, but under a key whose effect was taken back nothing would be done any more."""
        inside = tuple(f"{node.id}{mark}" for mark in ".[#")
        known = [record for name, record in self._records.items() if name == node.id or name.startswith(inside)]
        self.forget(node)
        for record in known:
            self._records.pop(record.id, None)
            if record.redone:
                self._records[record.id] = StepRecord(id=record.id, kind=record.kind, redone=record.redone)

    def add_steps(self, scope: Scope, steps: Mapping[str, Step]) -> None:
        """More steps for a scope, linked with each other and with those that are there."""
        added = {name: self._add(scope, f"{scope.prefix}{name}", step) for name, step in steps.items()}
        scope.nodes.update(added)
        for node in added.values():
            found = (scope.find(name) for name in node.step.needs)
            node.needs = tuple(need for need in found if need is not None)
            node.missing = len(node.needs)
            for need in node.needs:
                if need.is_settled:
                    node.need_settled(need)
                else:
                    need.dependents.append(node)
            if isinstance(node.step.on_failure, Fallback):
                stand_in(node, scope.nodes[node.step.on_failure.fallback])
        for node in added.values():
            if node.saved is not None and node.saved.fallback is not None:
                stand_in(node, self.nodes[node.saved.fallback])
        scope.recount()

    def walk(self) -> Iterator[Node]:
        """Every node, outer before inner, in the order of the file."""
        for node in self.root.nodes.values():
            yield node
            yield from node.all_inside()

    def records(self) -> Iterator[StepRecord]:
        """All that a fresh start would not make."""
        yield from (node.record for node in self.walk() if not node.is_untouched)
        yield from self.unopened()

    def unopened(self) -> Iterator[StepRecord]:
        """Of a rerun's steps inside of what has not begun again: with what they do."""
        yield from (record for name, record in self._records.items() if name not in self.nodes)

    def first(self, count: int) -> list[Node]:
        """The first so many of `walk`, of which a page is made at every step."""
        if self._first[0] != len(self.nodes):
            self._first = (len(self.nodes), list(islice(self.walk(), count)))
        return self._first[1]

    def _reopen(self) -> None:
        """After a continue-as-new: what had been opened is opened again, the finished too, since it may be undone."""
        nodes = [node for node in self.nodes.values() if _was_opened(node)]
        while nodes:
            node = nodes.pop()
            if node.has_items:
                self.open_items(node, node.record.input or ())
            elif node.has_rounds:
                for number in range(1, node.record.rounds + 1):
                    if f"{node.id}#{number}" in self._records:
                        self.open_round(node, number)
            elif isinstance(node.step, GroupStep):
                self.open_steps(node, node.step.steps)
            elif node.record.plan is not None:
                self.open_steps(node, node.record.plan.steps)
            for number in range(1, node.record.asked + 1):
                self.open_ask(node, number)
            nodes.extend(inner for inner in node.inside() if _was_opened(inner))

    def _add(
        self,
        scope: Scope,
        node_id: str,
        step: Step,
        *,
        role: Literal["step", "item", "round", "ask"] = "step",
        holder: Scope | None = None,
    ) -> Node:
        saved = self._records.get(node_id)
        node = Node(id=node_id, step=step, scope=scope, saved=saved, role=role, holder=holder or scope)
        node.on_change = self._on_change
        if holder is not None:
            holder.nodes[node_id] = node
        self.nodes[node_id] = node
        return node


def stand_in(node: Node, other: Node) -> None:
    """From now on the other step is the one that runs instead of the node should it fail."""
    node.fallback, other.stands_in_for = other, node


def _was_opened(node: Node) -> bool:
    """Whether there is something inside; of a group that had begun, also when an operator had it skipped."""
    record = node.saved
    return record is not None and (
        record.status not in ("pending", "skipped") or record.started is not None or record.asked > 0
    )
