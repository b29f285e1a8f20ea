"""Compares what the engine did with what the format page says."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from contracts.run import RunView, StepView
from tests.properties.nodes import Node
from tests.properties.plans import INPUT
from tests.properties.reference import Impossible, Run
from tests.properties.rig import Performance, Token

NEVER_RAN = ("pending", "cancelled", "skipped")


def disagreements(done: Performance) -> list[str]:
    """Everything in which a run differs from the format page, a line for each."""
    if done.view is None:
        return ["the run was never seen"]
    called = {step for phase, (kind, step), _ in done.ledger if (phase, kind) == ("start", "do")}
    ended = {step.id for step in done.view.steps if step.status in ("completed", "undone")}  # Some without a call.
    run = Run(done.plan.process, INPUT, frozenset(called | ended))
    try:
        found = list(_replay(run, done))
    except Impossible as error:
        return [str(error)]
    if done.stuck:
        return [*found, f"nothing can happen any more, but the run is {done.view.status}"]
    if not run.is_through:
        return [*found, f"the run is {done.view.status}; by the page {sorted(run.calling | run.parked)} are under way"]
    undone = _effects(run, done)
    return [
        *found,
        *_end(run, done.view, undone),
        *_steps(run, done.view, undone),
        *_order_of_undo(run, undone, done),
        *_keys(done),
        *_state(run, done.view),
    ]


def _replay(run: Run, done: Performance) -> Iterator[str]:
    """Tell the reference what happened. The calls under way at any rest must be those that it expects, and each must
    have started after the call whose end made way for it."""
    made_way: dict[str, tuple[str, int] | None] = dict.fromkeys(run.calling)
    times: Counter[str] = Counter()
    for event in done.events:
        match event.kind:
            case "ended":
                run.ended(event.step)
                times[event.step] += 1
                start = _place(done, "start", ("do", event.step), times[event.step])
                first = made_way.pop(event.step, None)
                if first is not None and start < _place(done, "end", ("do", first[0]), first[1]):
                    yield f"{event.step} started before {first[0]} had ended"
            case "repaired":
                run.repaired(event.step, event.action, event.value)
            case "cancelled":
                run.cancelled(undo=event.value)
            case "rest" if run.ending is None:
                calls = {step for _, step in event.calls}
                if calls != run.calling:
                    yield f"at rest {sorted(calls)} were under way; by the page {sorted(run.calling)}"
                if event.parked is not None and event.parked != run.parked:
                    yield f"at rest {sorted(event.parked)} were incidents; by the page {sorted(run.parked)}"
            case _:
                continue
        cause = (event.step, times[event.step]) if event.kind == "ended" else None
        made_way.update(dict.fromkeys(run.calling - made_way.keys(), cause))


def _place(done: Performance, phase: str, call: Token, nth: int = 1) -> int:
    """Where the ledger has the nth start or end of a call."""
    found = [place for place, entry in enumerate(done.ledger) if entry[:2] == (phase, call)]
    return found[nth - 1] if len(found) >= nth else -1


def _effects(run: Run, done: Performance) -> list[Node]:
    """What must be taken back. Whether a group whose last call ended after the run had stopped still counts as
    completed is left open: it does if it was taken back."""
    if run.ending is None or not run.undoes:
        return []
    taken = {step for _, (kind, step), _ in done.ledger if kind == "undo"}
    return [node for node in run.nodes if node.has_undo and (node.to_be_undone or _half(node, taken))]


def _half(node: Node, taken: set[str]) -> bool:
    return node.id in taken and _has_settled_inside(node)


def _has_settled_inside(node: Node) -> bool:
    inside = [inner.is_settled or _has_settled_inside(inner) for inner in node.inside]
    return node.status == "open" and bool(inside) and all(inside)


def _end(run: Run, view: RunView, undone: list[Node]) -> Iterator[str]:
    stopped = "undone" if undone and run.ending == "failed" else run.ending
    if view.status != (stopped or "completed"):
        yield f"the run is {view.status}; by the page {stopped or 'completed'}"
    if run.ending is None and view.output != (output := run.output()):
        yield f"the output is {view.output}; by the page {output}"


def _steps(run: Run, view: RunView, undone: list[Node]) -> Iterator[str]:
    seen = {step.id: step for step in view.steps}
    for node in run.nodes:
        step = seen.pop(node.id, None)
        if step is None:
            if node.status not in NEVER_RAN and not _may_be_forgotten(node):
                yield f"{node.id} is missing; by the page it is {node.status}"
        elif (status := "undone" if node in undone else node.status) in ("completed", "undone", "failed", "skipped"):
            if step.status != status and not _is_named_otherwise(node, step, undone):
                yield f"{node.id} is {step.status}; by the page {status}"
            if node.status in ("completed", "failed") and step.output != node.output and "state" not in node.step:
                yield f"{node.id} gave {step.output}; by the page {node.output}"
        elif not _may_be(node, step, stopped=run.ending is not None) and not _is_named_otherwise(node, step, undone):
            yield f"{node.id} is {step.status}; by the page {node.status}"
    for step in seen.values():
        if step.status not in NEVER_RAN or step.output is not None:
            yield f"{step.id} is {step.status}; by the page it never ran"


def _is_named_otherwise(node: Node, step: StepView, undone: list[Node]) -> bool:
    """A `for_each` or `repeat` whose effects were taken back may be called undone, and one of them that its fallback
    stood in for cancelled."""
    fell_back = node.layer != "step" and isinstance(node.step.get("on_failure"), dict) and node.status == "failed"
    is_undone = any(inner in undone for inner in node.descendants()) or _holds_nothing(node)
    return (step.status == "undone" and is_undone) or (step.status == "cancelled" and fell_back)


def _holds_nothing(node: Node) -> bool:
    """Whether it holds items or rounds that have an `undo`."""
    return (node.is_each or node.is_repeat) and "undo" in node.step


def _may_be_forgotten(node: Node) -> bool:
    """A round before the last that left no effect, and what was in it."""
    around = node
    while around.layer != "round" and around.outer is not None:
        around = around.outer
    parts = [around, *around.descendants()]
    is_last = around.outer is not None and around.outer.inside[-1] is around
    return around.layer == "round" and not is_last and not any(p.to_be_undone for p in parts)


def _may_be(node: Node, step: StepView, *, stopped: bool) -> bool:
    """Of a step that was under way when its run stopped, the page says only that it did not complete."""
    if not stopped:
        unopened = node.outer is not None and node.outer.status == "cancelled" and step.status in NEVER_RAN
        return step.status == node.status or unopened
    return step.status in (*NEVER_RAN, "failed", *(("completed", "undone") if _has_settled_inside(node) else ()))


def _order_of_undo(run: Run, undone: list[Node], done: Performance) -> Iterator[str]:
    calls = Counter(step for phase, (kind, step), _ in done.ledger if (phase, kind) == ("end", "undo"))
    expected = Counter({node.id: node.to_be_undone or 1 for node in undone})
    if calls != expected:
        yield f"undone: {sorted(calls.elements())}; by the page {sorted(expected.elements())}"
        return
    before = {node.id: node.before() for node in undone}
    for later, earlier_ones in before.items():
        for earlier in earlier_ones & before.keys():
            if _place(done, "start", ("undo", earlier)) < _place(done, "end", ("undo", later), expected[later]):
                yield f"{earlier} was undone before {later}, which came after it"
    left = dict(before)
    for event in done.events:
        if event.kind == "undone":
            expected[event.step] -= 1
            if not expected[event.step]:
                left.pop(event.step, None)
        elif event.kind == "rest" and any(kind == "undo" for kind, _ in event.calls):
            free = left.keys() - frozenset().union(*left.values())
            if (calling := {step for _, step in event.calls}) != free:
                yield f"at rest {sorted(calling)} were being undone; by the page {sorted(free)}, at the same time"


def _keys(done: Performance) -> Iterator[str]:
    """One effect has one idempotency key: `key` was given for one call only."""
    calls: dict[str, Token] = {}
    for phase, call, key in done.ledger:
        if phase == "start" and calls.setdefault(key, call) != call:
            yield f"{call[1]} and {calls[key][1]} had the same idempotency key"


def _state(run: Run, view: RunView) -> Iterator[str]:
    """Each write has a version of its own and what was written before as its base; a step that came after another
    wrote after it."""
    writes = {node.id: node for node in run.nodes if "state" in node.step and node.status == "completed"}
    seen = [(step.output, writes[step.id]) for step in view.steps if step.id in writes and step.output is not None]
    firsts: tuple[tuple[str, Any], ...] = (("total", 0), ("log", []))
    for key, first in firsts:
        value = deepcopy(first)
        of_key = sorted(((out["version"], out, node) for out, node in seen if out["key"] == key), key=lambda it: it[0])
        before: list[Node] = []
        for number, (version, output, node) in enumerate(of_key, 1):
            write = node.step["state"]
            value += write["add"] if key == "total" else [write["append"]]
            if (version, output["value"], output["written"]) != (number, value, True):
                yield f"{node.id} wrote {output}; by the page version {number}, {value}"
            if early := [other.id for other in before if node.id in other.past]:
                yield f"{early} wrote before {node.id}, which they need"
            before.append(node)
