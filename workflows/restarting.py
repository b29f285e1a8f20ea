"""What of an ended run a rerun keeps, and what starts again. Pure.

What completed stays. What failed, was stopped or was taken back starts again, and with it whatever came after it. A
step that starts again has its old idempotency key, so that an effect which may have happened is not doubled, unless
that effect was taken back, or is ordered anew.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts.errors import Refused
from contracts.plain import some
from contracts.process import ProcessStep
from contracts.run import IDLE, Definition, Snapshot, StepRecord
from workflows.effects import is_once_more
from workflows.lasting import MAX_TOLD, has_forgotten_rounds, in_words, is_done, left_inside, stands
from workflows.nodes import Node
from workflows.plan import Plan


@dataclass(frozen=True)
class Restart:
    """`records`: as the rerun begins with them. Ids of steps: those that completed and are `kept`, those that had begun
    and start `again`, and of these the ones whose effect stands and is made once more (`redone`), with those that their
    sub-processes and agents did, as `step (tool)`."""

    records: tuple[StepRecord, ...]
    kept: tuple[str, ...]
    again: tuple[str, ...]
    redone: tuple[str, ...]


def rerun_id(origin: str, number: int) -> str:
    """The id of the run of this number in a chain of reruns."""
    return f"{origin}~{number}"


def restart(definition: Definition, snapshot: Snapshot, from_: str | None, *, redo: bool) -> Restart:
    """Raises:
    Refused: there is no such step; an undo was cut off; or effects that stand would be made once more, and `redo` is
        not said.
    """
    plan = Plan(definition.process.steps, {record.id: record for record in snapshot.records})
    nodes = [node for node in plan.walk() if node.role != "ask"]
    if stuck := [node.id for node in nodes if _is_half_undone(node, snapshot)]:
        raise Refused(
            f"the run was stopped while it took back {some(stuck)}, so that it is not known what holds; have it "
            "finish with `temporal workflow reset --type LastWorkflowTask`, then start it again"
        )
    reset = _Reset(plan)
    if from_ is not None:
        reset.start(_from(plan, from_))
    _end(reset, plan.root.nodes.values())
    effects = _Effects(definition, plan, reset)
    redone = (*(node.id for node in effects.redone), *effects.inside)
    if redone and not redo:
        later = ", or start from a later step" if from_ is not None else ""
        raise Refused(
            f"{some(redone)}: what was done stands, and would be done once more, since it comes after what starts "
            f"again, or is part of it; say so with --redo (`redo`){later}"
        )
    records = (_record(node, reset, effects) for node in plan.walk())
    return Restart(
        records=(*(record for record in records if record is not None), *plan.unopened()),
        kept=tuple(node.id for node in nodes if node.is_leaf and is_done(node) and node not in reset.again),
        again=tuple(node.id for node in nodes if node in reset.again and node.inner is None and not node.is_untouched),
        redone=redone,
    )


def redone_by_rerun(definition: Definition, snapshot: Snapshot) -> tuple[str, ...]:
    """What a rerun of a run that failed would do once more, each as `step (tool)`."""
    plan = Plan(definition.process.steps, {record.id: record for record in snapshot.records})
    reset = _Reset(plan)
    _end(reset, plan.root.nodes.values())
    effects = _Effects(definition, plan, reset)
    return (*map(in_words, effects.redone), *effects.inside)[:MAX_TOLD]


class _Reset:
    """`again`: nodes that start afresh. `open`: nodes that hold some of them, or that have not come to their end."""

    def __init__(self, plan: Plan) -> None:
        self.again: set[Node] = set()
        self.open: set[Node] = set()
        self._dependents: defaultdict[Node, list[Node]] = defaultdict(list)
        for node in plan.walk():
            for need in node.needs:
                self._dependents[need].append(node)

    def start(self, node: Node) -> None:
        """Have it start afresh, with what is inside it and what came after it."""
        todo = [node]
        while todo:
            found = todo.pop()
            if found in self.again:
                continue
            self.again.add(found)
            todo += found.inside()
            todo += self._after(found)
            if found.fallback is not None:
                todo.append(found.fallback)

    def reopen(self, node: Node) -> None:
        """Have it go on, and start afresh what came after it."""
        for after in self._reopened(node):
            self.start(after)

    def is_cut_off(self, node: Node) -> bool:
        """Whether it was stopped since something that did not wait for it had begun, which stays."""
        others = (other for other in self._dependents[node] if other.step.cancel_rest)
        has_begun = (other.record.status not in ("pending", *IDLE) for other in others)
        return node.record.status == "cancelled" and any(has_begun)

    def _after(self, node: Node) -> Iterator[Node]:
        yield from (other for other in self._dependents[node] if not self._can_do_without(other))
        if node.role == "round" and node.holder.owner is not None:
            rounds = list(node.holder.nodes.values())
            yield from rounds[rounds.index(node) + 1 :]
            if has_forgotten_rounds(node.holder.owner, after=_number(node)):
                yield node.holder.owner
        for holder in (node.stands_in_for if node.record.called else None, node.holder.owner):
            if holder is not None:
                yield from self._reopened(holder)

    def _reopened(self, node: Node) -> Iterator[Node]:
        if node not in self.again and node not in self.open:
            self.open.add(node)
            yield from self._after(node)

    def _can_do_without(self, node: Node) -> bool:
        """Whether its `join` holds by what stays as it is."""
        join = node.step.join
        if join == "all" or node.is_untouched:
            return False
        kept = [need for need in node.needs if need.is_settled and need not in self.again and need not in self.open]
        return sum(need.record.status not in IDLE for need in kept) >= (1 if join == "any" else join)


class _Effects:
    """Of what starts again: what was `taken_back`; what stands and is `redone`; both, which are `anew` other effects;
    what the sub-processes and agents of these did `inside` and stands, as `step (tool)`."""

    def __init__(self, definition: Definition, plan: Plan, reset: _Reset) -> None:
        nodes = [node for node in plan.walk() if node.role != "ask"]
        whole = {node for node in nodes if _is_undone(node)}
        covered = {inner for node in whole for inner in node.all_inside()}
        again = [node for node in nodes if node in reset.again]
        self.taken_back = whole | covered
        self.redone = [
            node
            for node in again
            if node not in self.taken_back
            and (stands(definition, node) or (node.record.unaccepted and _is_another(definition, node, reset)))
        ]
        self.anew = {*self.taken_back, *self.redone}
        self.inside: list[str] = []
        for node in again:
            if node in whole - covered:
                self.inside += left_inside(definition, node)
            elif node not in covered and not is_done(node):
                self.inside += node.record.stands  # Of a sub-process that failed: what it does once more as it goes on.


def _end(reset: _Reset, nodes: Iterable[Node], *, is_over: bool = False) -> None:
    """Start again what did not come to its end. `is_over`: what holds them did; inside of that only what was taken
    back."""
    for node in nodes:
        status = node.record.status
        is_through = is_over or status in ("completed", "skipped") or _is_put_up_with(node) or reset.is_cut_off(node)
        if _is_undone(node):
            reset.start(node)
        elif node.inner is not None:
            _end(reset, node.inner.nodes.values(), is_over=is_through)
            if not is_through:
                reset.reopen(node)
        elif not is_through and status != "pending":
            reset.start(node)


def _is_undone(node: Node) -> bool:
    """Whether it was taken back as a whole. Items and rounds are taken back one by one, perhaps not all of them."""
    return node.record.status == "undone" and not (node.has_items or node.has_rounds)


def _is_put_up_with(node: Node) -> bool:
    """Whether the run went on without it, or goes on where it is."""
    status, step = node.record.status, node.step
    if isinstance(step, ProcessStep) and node.is_leaf and status == "running":
        return node.record.child is not None  # Its sub-process goes on by itself, and is waited for.
    if node.fallback is not None and node.fallback.record.called:
        return True
    return status == "failed" and (step.on_failure == "continue" or _was_planned_around(node))


def _was_planned_around(node: Node) -> bool:
    goal = node.holder.owner
    if goal is None or goal.record.plan is None or len(goal.record.plan.revisions) < 2:
        return False
    return node.id.removeprefix(f"{goal.id}.") in goal.record.plan.revisions[-1].kept


def _is_half_undone(node: Node, snapshot: Snapshot) -> bool:
    status = node.record.status
    return status == "undoing" or (status == "attention" and (snapshot.undoing or node.record.order is not None))


def _is_another(definition: Definition, node: Node, reset: _Reset) -> bool:
    """Whether what it does when it starts again is another effect than what it did, of which the output was not
    accepted."""
    return node.goal() in reset.again or is_once_more(definition, node.step)


def _from(plan: Plan, name: str) -> Node:
    node = plan.nodes.get(name)
    if node is None or node.role == "ask":
        there = some([each.id for each in plan.walk() if each.role != "ask"])
        raise Refused(f"there is no step {name!r} to start again from, or what holds it had not begun; steps: {there}")
    return node


def _record(node: Node, reset: _Reset, effects: _Effects) -> StepRecord | None:
    """A node's record as the rerun begins with it; None where that is a fresh one."""
    record = node.record
    if node.role == "ask" and node.holder.owner in reset.again:
        return None
    if node in reset.again:
        owner = node.scope.owner
        untouched = StepRecord(id=record.id, kind=record.kind, redone=node.inherited + (owner in effects.anew))
        carried = _carried(node, reset, effects)
        fresh = untouched.model_copy(update={"redone": record.redone + (node in effects.anew), **carried})
        return None if fresh == untouched and not fresh.redone else fresh
    if node not in reset.open:
        return None if node.is_untouched else record
    return record.model_copy(
        update={
            "status": "running",
            "output": None,
            "error": record.error if node.fallback is not None and node.fallback.record.called else None,
            "started": None,
            "ended": None,
            "order": None,
            "until": None,
            "approval": None,
            "rounds": _rounds(node, reset),
            "plan": record.plan and record.plan.unchanged(),
        }
    )


def _carried(node: Node, reset: _Reset, effects: _Effects) -> dict[str, Any]:
    """What a step that starts again keeps of what people changed of it; nothing where a plan is made anew, in which
    another step may have its name."""
    if node.goal() in reset.again:
        return {}
    record = node.record
    resumes = _resumed(node, is_anew=node in effects.anew)
    return {
        "amended": record.amended if record.input is not None else 0,
        "input": record.input if record.amended else None,
        "amended_by": record.amended_by,
        "agent": record.agent,
        "fallback": record.fallback,
        "called": record.called and node.stands_in_for not in reset.again,
        "resumes": resumes,
        "stands": record.stands if resumes is not None else (),
        "unaccepted": () if is_done(node) or node in effects.taken_back else record.unaccepted,
    }


def _resumed(node: Node, *, is_anew: bool) -> str | None:
    """The sub-process that goes on where it stood, since its effects may stand."""
    record = node.record
    if not isinstance(node.step, ProcessStep) or not node.is_leaf or is_anew:
        return None
    return record.resumes or record.child


def _rounds(node: Node, reset: _Reset) -> int:
    """The round in which a `repeat` goes on: the first that starts again, else the one it was at."""
    inside = node.inner.nodes.values() if node.has_rounds and node.inner is not None else ()
    again = [_number(each) for each in inside if each in reset.again or each in reset.open]
    return min(again, default=node.record.rounds)


def _number(node: Node) -> int:
    """Of a round."""
    return int(node.id.rpartition("#")[2])
