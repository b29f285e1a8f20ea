"""What the format page says a run comes to: an interpreter that is small and slow, so that it can be seen to be right.

It knows nothing of Temporal or the engine. It is told, one at a time, what happened outside (`ended`, `repaired`,
`cancelled`), looks over all of the plan until nothing more follows from that, and then says which calls must be under
way (`calling`), which steps wait for an operator (`parked`), and in the end what every step came to.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import cel

from tests.properties.nodes import RAN, Failed, Node, Scope, steps_in, work


class Impossible(Exception):
    """What happened cannot happen by the format page."""


class Run:
    """One run of a process. `begun`: the calls that ever began, and what completed. They tell where the page leaves it
    open: a step may become ready at the moment in which the run stops, or a `cancel_rest` cancels it."""

    def __init__(self, process: dict[str, Any], given: dict[str, Any], begun: frozenset[str]) -> None:
        self.process = process
        self.given = given
        self.begun = begun
        self.nodes: list[Node] = []
        self.ending: Literal["failed", "cancelled"] | None = None
        self.racing: set[Node] = set()
        self.undoes = True
        self.state = {key: made["initial"] for key, made in process.get("state", {}).items()}
        self.root = Scope()
        self._open(self.root, process["steps"], "", None)
        self._advance()

    @property
    def calling(self) -> set[str]:
        return {node.id for node in self.nodes if node.status == "calling"}

    @property
    def parked(self) -> set[str]:
        return {node.id for node in self.nodes if node.status == "parked"}

    @property
    def is_through(self) -> bool:
        settled = all(node.is_settled for node in self.root.nodes.values())
        return self.ending is not None or (settled and not self.calling)

    def output(self) -> Any:
        return self._value(self.process.get("output"), self.root)

    # What happens outside

    def ended(self, call: str) -> None:
        """A tool call has ended, well or not."""
        node = self._only(call, "calling")
        try:
            self._accept(node, work(call, node.arguments))
        except Failed:
            self._fail(node)
        self._advance()

    def repaired(self, step: str, action: str, value: Any) -> None:
        node = self._only(step, "parked")
        if action in ("skip", "complete") and not node.did_start:  # Until then it was nowhere in the order of things.
            node.past |= self._before(node)
        match action:
            case "skip":
                node.status = "skipped"
            case "complete":
                node.status, node.output = "completed", value
            case "abort":
                self._stop("failed", undo=not (value and value.get("undo") is False))
                node.status = "failed"
            case "amend":
                node.amended, node.status = value, "pending"
                node.amendments += 1
            case _:
                node.status = "pending"
        self._advance()

    def cancelled(self, *, undo: bool) -> None:
        self._stop("cancelled", undo=undo)

    def _only(self, name: str, status: str) -> Node:
        found = [node for node in self.nodes if node.id == name and node.status == status]
        if len(found) != 1:
            raise Impossible(f"{name} is not {status}: it is {[n.status for n in self.nodes if n.id == name]}")
        return found[0]

    def _stop(self, status: Literal["failed", "cancelled"], *, undo: bool) -> None:
        if self.ending is None:
            self.racing = {node for node in self.nodes if node.status == "pending" and self._is_ready(node)}
            self.ending, self.undoes = status, undo

    # What follows from it

    def _advance(self) -> None:
        while any(self._move(node) for node in list(self.nodes) if self._may_move(node)):
            pass
        self.racing = set()

    def _may_move(self, node: Node) -> bool:
        """Once the run has stopped nothing begins; but what was ready at that moment may have begun just before."""
        around = node
        while around not in self.racing and around.outer is not None:
            around = around.outer
        return self.ending is None or (around in self.racing and self._has_begun(node))

    def _move(self, node: Node) -> bool:
        """One thing that follows for a step, if any."""
        if node.status == "pending" and self._is_ready(node):
            self._start(node)
        elif node.status == "open" and all(inner.is_settled for inner in node.inside):
            self._guarded(node, self._close)
        elif node.status == "falling" and (other := node.fallback()) and other.is_settled:
            node.status, node.output = "failed", other.output
        else:
            return False
        return True

    def _is_ready(self, node: Node) -> bool:
        if node.outer is not None and node.outer.status != "open":
            return False
        if node.layer == "item" and node.outer is not None:
            items = node.outer.inside
            busy = [item for item in items if item.status != "pending" and not item.is_settled]
            first = next(item for item in items if item.status == "pending")
            return node is first and len(busy) < node.step.get("parallel", len(items))
        if node.layer == "round":
            return True
        principal = self._principal(node)
        if principal is not None and not principal.is_settled and principal.status != "falling":
            return False
        needs = node.needs()
        settled = [need for need in needs if need.is_settled]
        ran = [need for need in settled if need.status in RAN]
        join = node.step.get("join", "all")
        wanted = {"all": len(needs) + 1, "any": 1}.get(join, join)
        return len(settled) == len(needs) or len(ran) >= wanted

    def _principal(self, node: Node) -> Node | None:
        """The step that this one is the fallback of."""
        return next((other for other in node.scope.nodes.values() if other.fallback() is node), None)

    def _start(self, node: Node) -> None:
        needs = node.needs() if node.layer == "step" else []
        node.did_start = False
        node.past = self._before(node).union(node.outer.past if node.outer else ())
        principal = self._principal(node) if node.layer == "step" else None
        if principal is not None:
            node.past |= principal.past | {principal.id}.union(*(inner.done() for inner in principal.inside))
        if node.layer == "round" and node.outer is not None:
            node.past = node.past.union(*(earlier.done() for earlier in node.outer.inside if earlier is not node))
        if node.step.get("cancel_rest"):
            for need in needs:
                self._cancel(need)
        if (principal is not None and principal.status != "falling") or (
            needs and all(need.status in ("skipped", "cancelled") for need in needs)
        ):
            node.status = "skipped"
        else:
            self._guarded(node, self._begin)

    def _before(self, node: Node) -> frozenset[str]:
        """What has been by now of what its needs came to."""
        needs = node.needs() if node.layer == "step" else []
        ended = [need.done() for need in needs if need.is_settled and need.status != "cancelled"]
        return frozenset[str]().union(*ended)

    def _guarded(self, node: Node, act: Callable[[Node], None]) -> None:
        try:
            act(node)
        except Failed:
            self._fail(node)

    def _begin(self, node: Node) -> None:
        step = node.step
        decides = "when" in step and node.layer != "round" and (node.layer == "item") == _is_about_items(step)
        if decides and not self._truth(step["when"], node.scope):
            node.status = "skipped"
            return
        if node.inside:  # It failed as a whole and is tried again: nothing that completed is done again.
            node.status = "open"
        elif node.is_each:
            items = self._value(step["for_each"], node.scope)
            if not isinstance(items, list):
                raise Failed("for_each needs a list")
            for index, item in enumerate(items):
                scope = Scope(outer=node.scope, names={"item": item, "index": index})
                self._add(Node(f"{node.id}[{index}]", step, scope, "item", node))
            node.status = "open"
        elif node.is_repeat:
            self._add(Node(f"{node.id}#1", step, node.scope, "round", node))
            node.status = "open"
        elif "steps" in step:
            node.status = "open"
            self._open(Scope(outer=node.scope), step["steps"], f"{node.id}.", node)
        elif "state" in step:
            self._write(step["state"])
            node.status, node.output = "completed", {"key": step["state"]["key"]}
        else:
            node.arguments = self._arguments(node)
            node.status = "calling"
        node.did_start = True

    def _close(self, node: Node) -> None:
        """All that is inside has settled."""
        if node.is_repeat:
            repeat, last = node.step["repeat"], node.inside[-1]
            if self._truth(repeat["until"], node.scope, output=last.output):
                self._accept(node, last.output)
            elif len(node.inside) < repeat["max"]:
                self._add(Node(f"{node.id}#{len(node.inside) + 1}", node.step, node.scope, "round", node))
            else:
                raise Failed("CriteriaNotMet")
        elif node.is_each:
            node.status, node.output = "completed", [item.output for item in node.inside]
        else:
            self._accept(node, {_name(inner): inner.output for inner in node.inside})

    def _accept(self, node: Node, output: Any) -> None:
        try:
            self._check(node, output)
        except Failed:
            node.unaccepted.add(node.amendments)
            raise
        node.status, node.output = "completed", output

    def _check(self, node: Node, output: Any) -> None:
        decides = "success" in node.step and node.layer != "round"
        if decides and not self._truth(node.step["success"], node.scope, output=output):
            raise Failed("CriteriaNotMet")

    def _fail(self, node: Node) -> None:
        policy = node.step.get("on_failure", "ask")
        if self.ending is not None or node.is_dropped or policy == "continue":
            node.status = "failed"
        elif policy == "fail":
            self._stop("failed", undo=True)
            node.status = "failed"
        elif policy == "ask":
            node.status = "parked"
        elif node.layer == "step" or node.outer is None:
            node.status = "falling"
        else:  # The fallback stands in for the whole step.
            node.status = "failed"
            self._fail(node.outer)

    def _cancel(self, node: Node) -> None:
        """What has not begun, or only waits, is cancelled; a call on its way completes."""
        if node.is_settled:
            return
        if node.status == "pending" and self._has_begun(node) and self._is_ready(node):
            self._start(node)
        node.is_dropped = True
        if node.status != "calling" or not self._has_begun(node):
            node.status = "cancelled"
        for inner in node.inside:
            self._cancel(inner)

    def _has_begun(self, node: Node) -> bool:
        return any(call.startswith(node.id) and call[len(node.id) :][:1] in ("", ".", "[", "#") for call in self.begun)

    def _write(self, write: dict[str, Any]) -> None:
        key = write["key"]
        self.state[key] = self.state[key] + (write["add"] if "add" in write else [write["append"]])

    def _open(self, scope: Scope, steps: Mapping[str, dict[str, Any]], prefix: str, outer: Node | None) -> None:
        for name, step in steps.items():
            scope.nodes[name] = self._add(Node(f"{prefix}{name}", step, scope, "step", outer))

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        if node.outer is not None:
            node.outer.inside.append(node)
        return node

    # Expressions

    def _arguments(self, node: Node) -> dict[str, Any]:
        if node.amended is not None:
            return node.amended
        filled: dict[str, Any] = self._value(node.step.get("with", {}), node.scope)
        return filled

    def _truth(self, condition: Any, scope: Scope, **names: Any) -> bool:
        value = self._value(condition, scope, **names)
        if not isinstance(value, bool):
            raise Failed(f"{condition} is neither true nor false")
        return value

    def _value(self, value: Any, scope: Scope, **names: Any) -> Any:
        """A JSON value with its expressions filled in. In these plans a string is one whole expression, or none."""
        if isinstance(value, dict):
            return {key: self._value(item, scope, **names) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, scope, **names) for item in value]
        if not isinstance(value, str) or not value.startswith("${"):
            return value
        found = {name: scope.find(name) for name in steps_in(value)}
        steps = {name: {"output": node.output, "status": node.status} for name, node in found.items()}
        scoped = {"input": self.given, "state": self.state, "steps": steps, **scope.all_names(), **names}
        try:
            return cel.evaluate(value[2:-1], scoped)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise Failed(str(error)) from error


def _is_about_items(step: dict[str, Any]) -> bool:
    return "for_each" in step and re.search(r"\b(item|index)\b", step["when"]) is not None


def _name(node: Node) -> str:
    return node.id.rpartition(".")[2]
