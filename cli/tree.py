"""The plan as a tree: one row a step, folded to the rows there are."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from rich.table import Column, Table
from rich.text import Text

from cli.marks import Marks, dollars, lasting, took
from contracts.base import Json
from contracts.live import Speech
from contracts.run import StepStatus, StepView
from runtime.watch import Observation

MAX_ROWS = 200
"""Rows of a tree that is printed once; what is folded away is in the JSON."""

SPOKEN_WIDTH = 60
SPOKEN_LINES = 3
MAX_ITEMS = 6
MAX_BRIEF = 3
_BUSY: frozenset[StepStatus] = frozenset({"running", "waiting", "attention", "failed", "undoing"})


@dataclass
class Node:
    """A step and what is inside it: a group's steps, the items of a `for_each`."""

    step: StepView
    name: str
    inside: list["Node"] = field(default_factory=list)
    folded: str = ""

    @property
    def is_busy(self) -> bool:
        return self.step.status in _BUSY or any(node.is_busy for node in self.inside)

    def walk(self) -> Iterator["Node"]:
        yield self
        for node in self.inside:
            yield from node.walk()


@dataclass(frozen=True)
class Row:
    """`guide`: the tree's lines before the icon. Without a node it stands for rows that are folded away."""

    guide: str
    node: Node | None
    text: str = ""


def plan_tree(seen: Observation, marks: Marks, now: datetime, *, width: int, max_rows: int = MAX_ROWS) -> Table:
    """The steps of a run, at most `max_rows` of them, as columns: step, what, status, time, notes. What an agent is
    saying stands below its step."""
    speaking = sum(len(spoken(speech)) for speech in seen.speech.values())
    rows = folded(nested(seen.view.steps), marks, max(1, max_rows - speaking))
    longest = max((len(row.guide) + 2 + len(row.node.name) for row in rows if row.node), default=0)
    table = Table.grid(
        Column(no_wrap=True, overflow="ellipsis", width=min(longest, width * 2 // 5)),
        Column(no_wrap=True, overflow="ellipsis", ratio=1),
        Column(no_wrap=True),
        Column(no_wrap=True, justify="right"),
        Column(no_wrap=True, justify="right"),
        padding=(0, 2, 0, 0),
        pad_edge=False,
        expand=True,
    )
    for row in rows:
        if row.node is None:
            table.add_row(Text(row.guide, style="faint"), Text(row.text, style="faint"))
        else:
            table.add_row(*_cells(row, row.node, seen, marks, now))
            said = spoken(seen.speech[row.node.step.id]) if row.node.step.id in seen.speech else ()
            for line in said:
                table.add_row(Text(), Text(line, style="faint"))
    return table


def spoken(speech: Speech) -> list[str]:
    """The end of what a model has said, in short lines, and the calls it is writing."""
    words = textwrap.wrap(one_line(speech.tail), SPOKEN_WIDTH)[-SPOKEN_LINES:]
    return [*words, *(f"{call.tool} {one_line(call.tail)[-SPOKEN_WIDTH:]}" for call in speech.calls[-SPOKEN_LINES:])]


def nested(steps: tuple[StepView, ...]) -> list[Node]:
    """Steps by their ids: `hr.create` is inside `hr`, `train[0]` inside `train`, `train[0].book` inside that."""
    roots: list[Node] = []
    nodes: dict[str, Node] = {}
    for step in steps:
        cut = _cut(step.id)
        parent = nodes.get(step.id[:cut])
        node = Node(step, step.id if parent is None else step.id[cut:].lstrip("./"))
        nodes[step.id] = node
        (roots if parent is None else parent.inside).append(node)
    return roots


def folded(roots: list[Node], marks: Marks, max_rows: int) -> list[Row]:
    """All rows when there is room; else without what is done, then without what is idle."""
    folds: tuple[Callable[[Node], None], ...] = (_fold_done, _fold_items, _fold_idle)
    rows = list(_rows(roots, marks, ""))
    for fold in folds:
        if len(rows) <= max_rows:
            return rows
        for node in [node for root in roots for node in root.walk()]:
            fold(node)
        rows = list(_rows(roots, marks, ""))
    if len(rows) <= max_rows:
        return rows
    busy = [row for row in rows if row.node is None or row.node.is_busy]
    kept = (busy or rows)[: max(1, max_rows - 1)]
    return [*kept, Row("", None, f"{marks.more} and {len(rows) - len(kept)} more rows; --json has them all")]


def counts(nodes: list[Node]) -> str:
    """`12 completed, 3 pending`."""
    found = Counter(node.step.status for node in nodes)
    return ", ".join(f"{count} {status}" for status, count in found.most_common())


def _cut(step_id: str) -> int:
    return max(step_id.rfind("."), step_id.rfind("["), step_id.rfind("#"), step_id.rfind("/"), 0)


def _rows(nodes: list[Node], marks: Marks, guide: str, *, top: bool = True) -> Iterator[Row]:
    for index, node in enumerate(nodes):
        is_last = index == len(nodes) - 1
        yield Row(guide if top else guide + (marks.last if is_last else marks.branch), node)
        below = guide if top else guide + (" " * len(marks.bar) if is_last else marks.bar)
        yield from _rows(node.inside, marks, below, top=False)


def _fold_done(node: Node) -> None:
    if node.inside and node.step.status in ("completed", "skipped") and not node.is_busy:
        _hide(node, node.inside)


def _fold_items(node: Node) -> None:
    """Of a long `for_each`, keep the items where something happens."""
    if len(node.inside) > MAX_ITEMS and node.inside[0].name.startswith(("[", "#")):
        kept = [item for item in node.inside if item.is_busy][:MAX_ITEMS]
        _hide(node, [item for item in node.inside if item not in kept])


def _fold_idle(node: Node) -> None:
    if node.inside and not node.is_busy:
        _hide(node, node.inside)


def _hide(node: Node, hidden: list[Node]) -> None:
    node.folded = counts(node.inside)
    node.inside = [inner for inner in node.inside if inner not in hidden]


def _cells(row: Row, node: Node, seen: Observation, marks: Marks, now: datetime) -> tuple[Text, ...]:
    step = node.step
    style = step.status if step.status in ("pending", "skipped", "cancelled") else ""
    name = Text.assemble(
        (row.guide, "faint"), (marks.icon(step.status), step.status), " ", (node.name, style or "name")
    )
    ticking = step.started is not None and not (step.ended is None and seen.ended)
    time = took(step.started, step.ended or now) if step.started and ticking else ""
    notes = [f"x{step.attempts}"] if step.attempts > 1 else []
    notes += [dollars(step.cost)] if step.cost else []
    doing = Text(_doing(node, seen, now), style=style or "")
    return (
        name,
        doing,
        Text(step.status, style=step.status),
        Text(time, style=style),
        Text(" ".join(notes), style="faint"),
    )


def _doing(node: Node, seen: Observation, now: datetime) -> str:
    """What the step does; while it is at work, what it is doing now."""
    step = node.step
    if node.folded:
        return node.folded
    attempt = seen.attempts.get(step.id)
    if attempt and attempt.failure and step.status in ("running", "undoing"):
        due = (attempt.next_at - now).total_seconds() if attempt.next_at else 0.0
        when = f"try {attempt.number} in {lasting(due)}" if due > 0 else f"try {attempt.number}"
        return f"{when}: {one_line(attempt.failure)}"
    if agent := seen.agents.get(step.id):
        return one_line(f"{agent.agent}, {agent.last}" if agent.last else step.title)
    if step.status in ("attention", "failed") and step.error:
        return one_line(step.error.message)
    if node.name.startswith(("[", "#")) and step.status == "completed" and (result := brief(step.output)):
        return result
    if len(step.plan) > 1:
        return one_line(f"{step.title} (plan changed {len(step.plan) - 1} times)")
    if step.kind == "approval" and step.by:
        return one_line(f"{step.title} (by {step.by})")
    return one_line(step.title)


def brief(value: Json) -> str:
    """A few words of a JSON value: the plain values it begins with."""
    if isinstance(value, dict):
        plain = [str(item) for item in value.values() if isinstance(item, str | int | float)]
        return one_line(", ".join(plain[:MAX_BRIEF]))
    return "" if value is None or isinstance(value, list) else one_line(str(value))


def one_line(text: str) -> str:
    return " ".join(text.split())
