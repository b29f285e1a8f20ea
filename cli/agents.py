"""What a person is told of a run's agents: the notes that they left."""

from collections.abc import Iterator

from rich.text import Text

from cli.runs import Observation
from cli.tree import one_line
from contracts.agent import Note

SHOWN_LIVE = 3
"""Notes in a display that is redrawn, where rows are few."""


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
