"""The parts of a run as the reference sees it: its one tool, its scopes, its steps."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SETTLED = ("completed", "failed", "skipped", "cancelled")
RAN = ("completed", "failed")


class Failed(Exception):
    """A step has failed."""


def work(call: str, args: Mapping[str, Any]) -> Any:
    """What the one tool of these plans does, here and on the worker. `n`: the round of a `repeat`.

    Raises:
        Failed: it was told to.
    """
    n = int(call.rpartition("#")[2]) if re.search(r"#\d+$", call) else 1
    if args.get("fails") or args.get("fails_at") == n:
        raise Failed(f"{call} fails")
    return {"id": call, "what": args.get("what"), "many": args.get("many", []), "n": n}


@dataclass
class Scope:
    """The steps that see each other, and the names of the `for_each` around them."""

    nodes: "dict[str, Node]" = field(default_factory=dict)
    outer: "Scope | None" = None
    names: dict[str, Any] = field(default_factory=dict)

    def find(self, name: str) -> "Node":
        if name in self.nodes:
            return self.nodes[name]
        if self.outer is None:
            raise LookupError(name)
        return self.outer.find(name)

    def all_names(self) -> dict[str, Any]:
        return {**(self.outer.all_names() if self.outer else {}), **self.names}


@dataclass(eq=False)
class Node:
    """A step, an item of its `for_each`, or a round of its `repeat`. `past`: what it was started after.
    `arguments`: as they were when its call began. `did_start`: it was skipped or failed no earlier than that.
    `unaccepted`: after how many amendments it came to an output that was not accepted."""

    id: str
    step: dict[str, Any]
    scope: Scope
    layer: Literal["step", "item", "round"] = "step"
    outer: "Node | None" = None
    status: str = "pending"
    output: Any = None
    inside: "list[Node]" = field(default_factory=list)
    past: frozenset[str] = frozenset()
    did_start: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    amended: dict[str, Any] | None = None
    amendments: int = 0
    unaccepted: set[int] = field(default_factory=set)
    is_dropped: bool = False

    @property
    def is_settled(self) -> bool:
        return self.status in SETTLED

    @property
    def is_each(self) -> bool:
        return "for_each" in self.step and self.layer == "step"

    @property
    def is_repeat(self) -> bool:
        return "repeat" in self.step and not self.is_each and self.layer != "round"

    @property
    def has_undo(self) -> bool:
        return "undo" in self.step and not self.is_each and not self.is_repeat

    @property
    def to_be_undone(self) -> int:
        """How many effects it had that are to be taken back. Other arguments make another effect."""
        made = self.unaccepted | ({self.amendments} if self.status == "completed" else set())
        return len(made) if self.has_undo else 0

    def needs(self) -> "list[Node]":
        names = [*self.step.get("needs", ()), *steps_in({k: v for k, v in self.step.items() if k != "steps"})]
        return [self.scope.find(name) for name in dict.fromkeys(names)]

    def fallback(self) -> "Node | None":
        policy = self.step.get("on_failure")
        return self.scope.find(policy["fallback"]) if isinstance(policy, dict) else None

    def done(self) -> frozenset[str]:
        """Everything that has happened before what comes after this."""
        return self.past.union({self.id}, *(node.done() for node in (*self.inside, *self._stood_in())))

    def before(self) -> frozenset[str]:
        """Everything that has happened before this; before its effect, when that came before its fallback began."""
        others = [] if self.unaccepted else self._stood_in()
        return self.past.union(*(node.done() for node in (*self.inside, *others)))

    def _stood_in(self) -> "list[Node]":
        other = self.fallback() if self.status == "failed" else None
        return [other] if other else []

    def descendants(self) -> "Iterator[Node]":
        for node in self.inside:
            yield node
            yield from node.descendants()


def steps_in(value: Any) -> list[str]:
    """The steps that a value refers to, in order."""
    if isinstance(value, dict):
        return [name for item in value.values() for name in steps_in(item)]
    if isinstance(value, list):
        return [name for item in value for name in steps_in(item)]
    return re.findall(r"\bsteps\.(\w+)", value) if isinstance(value, str) else []
