"""What models answered, as workers tell in their logs: an answer that one had kept, no later one asks for."""

import json
from pathlib import Path

ANSWERED = '"event": "model answered"'
"""Of a line that a worker writes once it has kept an answer."""


def bought_twice(home: Path) -> list[str]:
    """Answers that were asked for by a worker and, though that had kept them, by another one after its death.

    Of a world whose workers take turns. Of two at the same time both may ask: one that stands still is taken for lost.
    """
    kept: dict[str, int] = {}
    wrong: list[str] = []
    for number, log in enumerate(sorted(home.glob("worker-*.log"), key=lambda log: int(log.stem.rpartition("-")[2]))):
        for line in filter(lambda line: ANSWERED in line, log.read_text(errors="replace").splitlines()):
            told = json.loads(line)
            if kept.setdefault(told["kept"], number) != number:
                wrong.append(f"{told['run']}/{told['step']} was answered, and asked again by another worker")
    return wrong
