"""A limit of requests and tokens a minute, kept to by everything in this process that asks one model.

A sliding window over what was used: an estimate is reserved before a call and settled with what it came to. Packages
for this count requests only, or take no settlement.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

WINDOW = 61.0
"""Seconds; one more than a minute, since requests reach an endpoint a little later than they leave here."""

GRACE = 30.0
"""Seconds for which the place in the line of one that does not come back is kept."""


@dataclass(frozen=True)
class Rates:
    """What is allowed in any minute; None: as much as one likes."""

    requests: int | None = None
    tokens: int | None = None

    @property
    def unlimited(self) -> bool:
        return self.requests is None and self.tokens is None

    def hold(self, requests: int, tokens: int) -> bool:
        return (self.requests is None or requests <= self.requests) and (self.tokens is None or tokens <= self.tokens)


NO_RATES = Rates()


@dataclass(eq=False)
class _Use:
    at: float
    tokens: int


class Limiter:
    """`take` before a call until it says 0, `settle` after. Keys tell calls apart, so each has its place in line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uses: deque[_Use] = deque()
        self._taken: dict[Hashable, _Use] = {}
        self._line: dict[Hashable, _Use] = {}

    def take(self, key: Hashable, tokens: int, rates: Rates) -> float:
        """0 when the call may be made now, and is counted; else the seconds after which to ask again.

        Args:
            tokens: what the call is thought to take, at most `rates.tokens`.
        """
        now = self._clock()
        self._forget(now)
        waited = self._line.pop(key, None)
        ahead = () if waited else tuple(self._line.values())
        due = self._earliest(now, tokens, rates, ahead)
        if due > now:
            self._line[key] = _Use(due, tokens)
            return due - now
        self._taken[key] = _Use(now, tokens)
        self._uses.append(self._taken[key])
        return 0.0

    def settle(self, key: Hashable, tokens: int | None) -> None:
        """What a call really took; None where nobody knows, which leaves the estimate."""
        use = self._taken.pop(key, None)
        if use is not None and tokens is not None:
            use.tokens = tokens

    def withdraw(self, key: Hashable) -> None:
        """The call that was taken is not made after all."""
        use = self._taken.pop(key, None)
        if use is not None:
            self._uses.remove(use)

    def used(self) -> tuple[int, int]:
        """Requests and tokens of the last minute."""
        self._forget(self._clock())
        return len(self._uses), sum(use.tokens for use in self._uses)

    @property
    def waiting(self) -> int:
        return len(self._line)

    def _earliest(self, now: float, tokens: int, rates: Rates, ahead: Iterable[_Use]) -> float:
        """The first moment with room, behind all that are ahead in the line."""
        if rates.unlimited:
            return now
        uses = sorted([*self._uses, *ahead], key=lambda use: use.at)
        due = max(now, uses[-1].at) if uses else now
        counted = deque(use for use in uses if use.at > due - WINDOW)
        spent = sum(use.tokens for use in counted)
        while counted and not rates.hold(len(counted) + 1, spent + tokens):
            gone = counted.popleft()
            spent -= gone.tokens
            due = max(due, gone.at + WINDOW)
        return due

    def _forget(self, now: float) -> None:
        while self._uses and self._uses[0].at <= now - WINDOW:
            self._uses.popleft()
        for key in [key for key, use in self._line.items() if use.at < now - GRACE]:
            del self._line[key]
