"""What a person is told of a run's agents: how far those at work are, and the notes that they left."""

from collections.abc import Iterator

from rich.text import Text

from cli.tree import one_line
from contracts.agent import AgentView, HistoryGauge, Note
from runtime.watch import Observation

SUGGESTED_EVENTS = 4_096
SUGGESTED_BYTES = 4 * 1024 * 1024
"""After so many the server suggests to continue as new, unless it is set up otherwise."""

SHOWN_LIVE = 3
"""Notes in a display that is redrawn, where rows are few."""


def gauges(seen: Observation) -> Iterator[Text]:
    """Of each agent at work: its turns and tokens of those it may use, its model's window, its history."""
    lines = [Text.assemble((f"  {step}", "name"), f"  {_gauges(agent)}") for step, agent in seen.agents.items()]
    if lines:
        yield Text("\n").join((Text("agents at work", style="bold"), *lines))


def notes_left(seen: Observation, *, live: bool = False) -> Iterator[Text]:
    """What agents left to know, those at work too, the oldest first."""
    found = sorted(_notes(seen), key=lambda noted: noted[1].at)
    shown = found[-SHOWN_LIVE:] if live else found
    if not shown:
        return
    lines = [Text.assemble((f"  {step}", "name"), f"  {note.kind}: {one_line(note.text)}") for step, note in shown]
    more = f" (the last {len(shown)} of {len(found)})" if len(shown) < len(found) else ""
    yield Text("\n").join((Text(f"notes of agents{more}", style="bold"), *lines))


def _notes(seen: Observation) -> Iterator[tuple[str, Note]]:
    for step in seen.view.steps:
        at_work = seen.agents.get(step.id)
        for note in (*step.notes, *(at_work.notes if at_work else ())):
            yield step.id, note


def _gauges(agent: AgentView) -> str:
    usage, limits, window = agent.usage, agent.limits, agent.window
    parts = [f"turn {usage.calls} of {limits.turns}", f"{usage.tokens:,}{_of(limits.tokens)} tokens"]
    if window.used:
        full = f" ({window.used / window.size:.0%})" if window.size else ""
        parts.append(f"window {window.used:,}{_of(window.size)}{full}")
    if agent.history is not None:
        parts.append(history_text(agent.history))
    return ", ".join(parts)


def history_text(history: HistoryGauge) -> str:
    """How long a history is, and what is left of it until it continues as new."""
    used = max(history.events / SUGGESTED_EVENTS, history.bytes / SUGGESTED_BYTES)
    left = "continues as new" if history.suggested else f"{max(0.0, 1 - used):.0%} left"
    return f"history {history.events:,} events, {history.bytes / 1e6:.1f} MB ({left})"


def _of(limit: int | None) -> str:
    return f" of {limit:,}" if limit is not None else ""
