"""How long to wait between two looks at what is to come."""

from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds, ever more of them without end: a look at a run takes a hundredth of a second of those who work on it."""
    pause = first
    while True:
        yield pause
        pause = min(1.2 * pause, longest)
