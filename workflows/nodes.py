"""What a run's plan is made of while it runs: scopes of nodes, and who waits for whom.

A node is a step in one scope, one item of a `for_each`, one round of a `repeat`, or what an agent asks people. Each
knows how many of its needs are unsettled, so that settling a step costs the number of steps that need it, whatever the
size of the plan.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from contracts.ballot import ApprovalState
from contracts.base import Json
from contracts.decisions import Repair
from contracts.effects import UndoCall
from contracts.errors import ErrorInfo
from contracts.process import GoalStep, GroupStep, Step
from contracts.run import IDLE, SETTLED, StepRecord

OnChange = Callable[[StepRecord | None, StepRecord, str | None], None]
"""Told of every step that comes to another status: what it was, None when it had not begun; what it is; and who
ordered that, None when nobody did."""


@dataclass(eq=False)
class Scope:
    """The steps that see each other by name: a run's, a group's or a plan's; or the items or rounds of one step.

    `failure`: one of them failed, and its owner is to deal with it.
    """

    prefix: str
    parent: "Scope | None" = None
    owner: "Node | None" = None
    names: Mapping[str, Json] = field(default_factory=dict)
    nodes: "dict[str, Node]" = field(default_factory=dict)
    unsettled: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    failure: ErrorInfo | None = None

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

    async def until_settled(self) -> None:
        """Until every node has settled, those too that a change of the plan adds; or one has failed for the owner."""
        while self.unsettled and self.failure is None:
            await self.settled.wait()

    def recount(self) -> None:
        """How many are to settle, before they are started."""
        self.failure = None
        self.unsettled = sum(not node.is_settled for node in self.nodes.values())
        if self.unsettled:
            self.settled.clear()
        else:
            self.settled.set()


@dataclass(eq=False)
class Node:
    """A step at run time. `record` is its only state that outlives a continue-as-new.

    `scope` is where its names are looked up, `holder` who counts on it: of a step they are the same. `undoing`:
    the call by which its effect is being taken back.
    """

    id: str
    step: Step
    scope: Scope
    holder: Scope
    saved: StepRecord | None = None
    role: Literal["step", "item", "round", "ask"] = "step"
    needs: "tuple[Node, ...]" = ()
    dependents: "list[Node]" = field(default_factory=list)
    missing: int = 0
    arrived: int = 0
    fallback: "Node | None" = None
    stands_in_for: "Node | None" = None
    previous: "Node | None" = None
    inner: Scope | None = None
    asks: Scope | None = None
    dropped: bool = False
    has_begun: bool = False
    undoing: UndoCall | None = None
    is_taken_back: bool = False
    task: asyncio.Task[None] | None = None
    interruptible: bool = True
    rows: tuple[StepRecord, str] | None = None
    on_change: OnChange | None = None

    # Made when first asked for: a plan of ten thousand nodes is made in one workflow task.
    @property
    def record(self) -> StepRecord:
        if self.saved is None:
            self.saved = StepRecord(id=self.id, kind=self.step.kind, redone=self.inherited)
        return self.saved

    @property
    def inherited(self) -> int:
        """How often a rerun made anew what it is inside of, and with that also what nobody knows of any more."""
        owner = self.scope.owner
        return owner.saved.redone if owner is not None and owner.saved is not None and self.role != "ask" else 0

    @cached_property
    def done(self) -> asyncio.Event:
        return asyncio.Event()

    @cached_property
    def repairs(self) -> "asyncio.Queue[Repair]":
        return asyncio.Queue()

    @property
    def is_settled(self) -> bool:
        return self.saved is not None and self.saved.status in SETTLED

    @property
    def is_at_work(self) -> bool:
        return self.task is not None and not self.task.done()

    @property
    def is_untouched(self) -> bool:
        """Whether a fresh start of the run would make the same record."""
        record = self.saved
        if record is None:
            return True
        changed = record.amended or record.tries or record.called or record.asked or record.ask or record.repaired
        has_done = bool(record.unaccepted)
        is_of_rerun = record.redone != self.inherited or record.resumes is not None
        return record.status == "pending" and not changed and not has_done and not is_of_rerun

    @property
    def was_changed(self) -> bool:
        """Whether people gave it other arguments, another task or another step to stand in for it."""
        record = self.saved
        return record is not None and bool(record.amended or record.agent or record.fallback)

    @property
    def is_pending(self) -> bool:
        """Whether it is still to start, so that what it is going to do can be changed."""
        return not self.has_begun and (self.saved is None or self.saved.status == "pending")

    @property
    def has_items(self) -> bool:
        return self.step.for_each is not None and self.role == "step"

    @property
    def has_rounds(self) -> bool:
        return self.step.repeat is not None and self.role != "round" and not self.has_items

    @property
    def is_goal(self) -> bool:
        """Whether a plan is made for it; of a goal with items or rounds, one is made for each of those."""
        return isinstance(self.step, GoalStep) and not self.has_items and not self.has_rounds

    @property
    def is_leaf(self) -> bool:
        """Whether it does something itself, rather than hold other steps."""
        return not (isinstance(self.step, GroupStep | GoalStep) or self.has_items or self.has_rounds)

    @property
    def action(self) -> str:
        """What its kind of step does, by name."""
        return "ask" if self.role == "ask" else self.step.kind

    @property
    def is_ready(self) -> bool:
        """Whether it can start: enough of its needs have settled, and it is no fallback that nobody called."""
        if self.stands_in_for is not None and not self.record.called:
            return False
        if not self.missing:
            return True
        join = self.step.join
        return join != "all" and self.arrived >= (1 if join == "any" else join)

    @property
    def has_effect(self) -> bool:
        """Whether anything it did can be taken back."""
        record = self.record
        is_made = record.order is not None or bool(record.unaccepted)
        return bool(record.undo) or (is_made and self.step.undo is not None)

    @property
    def approval(self) -> ApprovalState:
        """The open approval.

        Raises:
            LookupError: the node has none; only steps that ask people have one, once they started.
        """
        if self.record.approval is None:
            raise LookupError(f"{self.id} has no open approval")
        return self.record.approval

    def update(self, **changes: Any) -> None:
        before = self.saved
        self.saved = self.record.model_copy(update=changes)
        if self.on_change is not None and self.saved.status != (before.status if before else "pending"):
            self.on_change(before, self.saved, changes.get("by"))

    def start_afresh(self, **changes: Any) -> None:
        """Back to where it has not begun: its deadline and its waits begin again. What holds others stays open."""
        self.has_begun = False
        status = "pending" if self.inner is None else "running"
        self.update(**{"status": status, "error": None, "started": None, "until": None, "event": None, **changes})

    def need_settled(self, need: "Node") -> None:
        self.missing -= 1
        self.arrived += need.record.status not in IDLE

    def view(self) -> Json:
        """What `steps.ID` is in an expression."""
        return {"output": self.record.output, "status": self.record.status}

    def inside(self) -> "Iterator[Node]":
        """The nodes directly inside: a group's or plan's steps, items of a `for_each`, rounds of a `repeat`, asks."""
        if self.inner is not None:
            yield from self.inner.nodes.values()
        if self.asks is not None:
            yield from self.asks.nodes.values()

    def all_inside(self) -> "Iterator[Node]":
        """All nodes inside, outer before inner."""
        for node in self.inside():
            yield node
            yield from node.all_inside()

    def predecessors(self, *, exactly: bool = True) -> "Iterator[Node]":
        """What must have been before this: its needs and its group's, what is inside it, the round before, what the
        step that it stands in for came after, what a plan had come to when it was changed to have this in it. Asked
        when the run has stopped. `exactly`: False of a run that an older engine began to take back."""
        yield from self.inside()
        if self.fallback is not None and not self.record.unaccepted:
            yield self.fallback
        if self.previous is not None:
            yield self.previous
        node: Node | None = self
        while node is not None:
            yield from node._came_after() if exactly else node._came_after_once()
            node = node.scope.owner

    def _came_after(self) -> "Iterator[Node]":
        """What it began after, apart from what is around it."""
        for need in self.needs:
            if self._waited_for(need):
                yield from need._settled_by()
        yield from self._planned_after()
        other = self.stands_in_for
        if other is not None and self.record.called:
            if other.record.unaccepted:
                yield other  # Whose effect was there before this one was called, though it settled by its output.
            yield from (each for each in (*other.inside(), *other._came_after()) if self._ended_after(each))

    def _settled_by(self) -> "Iterator[Node]":
        """It, and what stood in for it, but where that is before it already."""
        yield self
        if self.fallback is not None and self.record.unaccepted:
            yield from self.fallback._settled_by()

    def _came_after_once(self) -> "Iterator[Node]":
        """As an older engine saw it."""
        started = self.record.started
        for need in self.needs:
            ended = need.record.ended
            if self.step.join == "all" or started is None or ended is None or ended <= started:
                yield need
        yield from self._planned_after()

    def _waited_for(self, need: "Node") -> bool:
        """Whether it began after this need had settled. Its `join` allows otherwise, and what was skipped or cancelled
        may have had needs that went on."""
        if self.step.join == "all" and self.record.status not in IDLE:
            return True
        began, ended = self._began, need.record.ended
        return need.is_settled and (began is None or ended is None or ended <= began)

    @property
    def _began(self) -> datetime | None:
        """What never did anything by itself began with the step that stands in for it, else as it settled: an operator
        completed it by hand, say."""
        if self.record.started is None and self.fallback is not None and self.fallback.record.called:
            return self.fallback._began
        return self.record.started or self.record.ended

    def _ended_after(self, other: "Node") -> bool:
        """Strictly, so that what stands in for a step never comes after what came after itself."""
        own, others = self.record.ended, other.record.ended
        return own is None or others is None or others < own

    def _planned_after(self) -> "Iterator[Node]":
        """Of a step that a change of its plan brought: those that had ended by then, whose outputs the planner saw."""
        goal = self.scope.owner
        if goal is None or not goal.is_goal or goal.record.plan is None:
            return
        name = self.id.removeprefix(f"{goal.id}.")
        revisions = reversed(goal.record.plan.revisions)
        brought = next((change for change in revisions if name in (*change.added, *change.changed)), None)
        for kept in brought.kept if brought is not None else ():
            other = self.scope.nodes[kept]
            if brought is not None and other.record.ended is not None and other.record.ended <= brought.at:
                yield other

    def goal(self) -> "Node | None":
        """The goal whose plan this step is in, if any; the innermost."""
        owner = self.scope.owner
        while owner is not None and not owner.is_goal:
            owner = owner.scope.owner
        return owner
