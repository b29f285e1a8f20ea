"""What happens where: a place falls the same way each time, whatever else goes on at the same time."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from contracts.faults import Faults


class Dice:
    """`journal`: every fault that was made, one a line. A killed worker finds there what it did before."""

    def __init__(self, faults: Faults, journal: Path) -> None:
        self.faults = faults
        self._journal = journal

    def throw(self, *place: object) -> float:
        """At least 0, below 1."""
        digest = hashlib.sha256(repr((self.faults.seed, *place)).encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56

    def pick(self, shares: Iterable[tuple[str, float]], *place: object) -> str | None:
        """One of these by its share, or none."""
        left = self.throw(*place)
        for name, share in shares:
            left -= share
            if left < 0:
                return name
        return None

    def note(self, fault: str, place: str) -> None:
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a") as journal:
            journal.write(f"{fault} {place}\n")

    def is_noted(self, fault: str, place: str) -> bool:
        return self._journal.exists() and f"{fault} {place}\n" in self._journal.read_text()

    def unmade(self) -> list[str]:
        """Those of `at` at which there was no fault so far."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else ()
        made = [line.split(" ", 1) for line in lines]
        return [
            f"{where}:{point}"
            for where, point in self.faults.places()
            if not any(fault == point and is_meant(where, place) for fault, place in made)
        ]


def is_meant(pattern: str, place: str) -> bool:
    """`*` in the pattern stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), place) is not None
