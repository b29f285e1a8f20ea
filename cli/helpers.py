"""Who works for a run's agents: other agents, and processes."""

from collections.abc import Iterator

from rich.text import Text

from cli.marks import Marks
from cli.tree import one_line
from contracts.agent import ChildRecord
from runtime.watch import Observation

SHOWN = 20
"""Lines; the last ones."""
SHOWN_LIVE = 3
"""In a display that is redrawn, where rows are few."""


def helpers(seen: Observation, marks: Marks, *, live: bool = False) -> Iterator[Text]:
    """Who worked for the agents of which step, and who is at work, the first one first."""
    found = sorted(_children(seen), key=lambda child: child[1].started)
    shown = found[-SHOWN_LIVE if live else -SHOWN :]
    if not shown:
        return
    more = f" (the last {len(shown)} of {len(found)})" if len(shown) < len(found) else ""
    lines = [_line(step, child, marks) for step, child in shown]
    yield Text("\n").join((Text(f"who worked for agents{more}", style="bold"), *lines))


def _line(step: str, child: ChildRecord, marks: Marks) -> Text:
    used = f"{child.usage.calls} calls, {child.usage.tokens} tokens" if child.usage.calls else ""
    return Text.assemble(
        (f"  {step}", "name"),
        "  ",
        (marks.icon(child.status), child.status),
        f" {child.tool}",
        (f"  {one_line(child.error or used)}", "faint"),
    )


def _children(seen: Observation) -> Iterator[tuple[str, ChildRecord]]:
    for step in seen.view.steps:
        at_work = seen.agents.get(step.id)
        for child in (*step.children, *(at_work.children if at_work else ())):
            yield step.id, child
