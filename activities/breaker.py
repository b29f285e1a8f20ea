"""Circuit breakers: what fails or is slow too often is left alone for a while, then tried with a few probes.

A breaker belongs to one thing that can break: a model at a provider, a host of tools. It counts outcomes over a rolling
window. Calls that were the caller's own mistake are neither good nor bad, and count as nothing.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

State = Literal["closed", "open", "half-open"]
Forced = Literal["closed", "open"]


@dataclass(frozen=True)
class BreakerRules:
    """When to open, in seconds and shares. `at_least`: outcomes in the window before a share says anything; `most`: how
    many of the last ones count, so that many good calls before an outage do not hide it."""

    window: float = 30.0
    at_least: int = 5
    most: int = 20
    failure_rate: float = 0.5
    slow: float = 60.0
    slow_rate: float = 0.8
    pause: float = 10.0
    max_pause: float = 30.0
    probes: int = 2


class BreakerOpen(Exception):
    """Nothing was called. `after`: seconds until a call may be let through."""

    def __init__(self, name: str, after: float, why: str) -> None:
        super().__init__(f"{name} is left alone for {after:.0f} s: {why}")
        self.name = name
        self.after = after


@dataclass(frozen=True)
class BreakerView:
    """How a breaker stands. `calls`, `failures` and `slow` are of the window; `after` is seconds until a probe;
    `probes` counts all there ever were."""

    name: str
    state: State
    forced: Forced | None
    calls: int
    failures: int
    slow: int
    after: float
    why: str
    probes: int = 0


@dataclass
class Breaker:
    """`admit` before each call, `record` after each that was admitted.

    Opening lasts `pause`, doubled each time that probes fail, up to `max_pause`. Callers that are turned away are told
    moments spread beyond the end of the pause, so that they do not come back all at once. Probes that hang do not keep
    others from being let through, one for each pause.
    """

    name: str
    rules: BreakerRules = field(default_factory=BreakerRules)
    clock: Callable[[], float] = time.monotonic
    forced: Forced | None = None
    _outcomes: deque[tuple[float, bool, bool]] = field(default_factory=deque)
    _until: float | None = None
    _pause: float = 0.0
    _probing: int = 0
    _probed_at: float = 0.0
    _probes: int = 0
    _passed: int = 0
    _why: str = ""

    def admit(self) -> bool:
        """Whether the call is a probe.

        Raises:
            BreakerOpen: the call must not be made now.
        """
        if self.forced == "closed":
            return False
        now = self.clock()
        if self.forced == "open":
            raise BreakerOpen(self.name, self._spread(self.rules.max_pause), "an operator opened its breaker")
        if self._until is None:
            return False
        if now < self._until:
            raise BreakerOpen(self.name, self._spread(self._until - now), self._why)
        if self._probing >= self.rules.probes and now < self._probed_at + self._pause:
            raise BreakerOpen(self.name, self._spread(self._pause), f"{self._why}; it is being probed")
        self._probing += 1
        self._probes += 1
        self._probed_at = now
        return True

    @property
    def unsure(self) -> bool:
        """Closed, but nothing says that what it guards works now."""
        closed = self._until is None and self.forced is None
        return closed and not (self._outcomes and self._outcomes[-1][1])

    def record(self, *, ok: bool | None, seconds: float = 0.0, why: str = "") -> None:
        """The outcome of an admitted call. `ok` is None for one that says nothing about what was called."""
        now = self.clock()
        if self._until is not None:
            self._record_probe(ok, seconds, now, why)
        elif ok is not None:
            self._outcomes.append((now, ok, seconds >= self.rules.slow))
            self._judge(now, why)

    def trip(self, why: str, pause: float | None = None) -> None:
        """Open at once, for what makes counting pointless, such as a spent quota."""
        self._open(self.clock(), why, pause or max(self._pause, self.rules.pause))

    def force(self, state: Forced | None) -> None:
        """An operator's word, until it is taken back with None; the count then starts afresh."""
        self.forced = state
        self._close()

    def view(self) -> BreakerView:
        now = self.clock()
        self._forget(now)
        after = max(0.0, self._until - now) if self._until is not None else 0.0
        state: State = "closed" if self._until is None else "open" if after else "half-open"
        return BreakerView(
            name=self.name,
            state=self.forced or state,
            forced=self.forced,
            calls=len(self._outcomes),
            failures=sum(not ok for _, ok, _ in self._outcomes),
            slow=sum(slow for _, _, slow in self._outcomes),
            after=after,
            why=self._why,
            probes=self._probes,
        )

    def _record_probe(self, ok: bool | None, seconds: float, now: float, why: str) -> None:
        if not self._probing:
            return  # admitted before it opened
        self._probing -= 1
        if ok is None:
            return
        if not ok or seconds >= self.rules.slow:
            self._open(now, why or self._why, min(self._pause * 2, self.rules.max_pause))
            return
        self._passed += 1
        if self._passed >= self.rules.probes:
            self._close()

    def _judge(self, now: float, why: str) -> None:
        self._forget(now)
        count = len(self._outcomes)
        if count < self.rules.at_least:
            return
        failed = sum(not ok for _, ok, _ in self._outcomes)
        slow = sum(late for _, _, late in self._outcomes)
        if failed / count >= self.rules.failure_rate:
            said = f"{failed} of its last {count} calls failed" + (f", the last with {why}" if why else "")
            self._open(now, said, self.rules.pause)
        elif slow / count >= self.rules.slow_rate:
            self._open(now, f"{slow} of its last {count} calls took over {self.rules.slow:g} s", self.rules.pause)

    def _open(self, now: float, why: str, pause: float) -> None:
        self._until, self._pause, self._why = now + pause, pause, why
        self._probing = self._passed = 0
        self._outcomes.clear()

    def _close(self) -> None:
        self._until, self._pause, self._why = None, 0.0, ""
        self._probing = self._passed = 0
        self._outcomes.clear()

    def _forget(self, now: float) -> None:
        while self._outcomes and (
            self._outcomes[0][0] < now - self.rules.window or len(self._outcomes) > self.rules.most
        ):
            self._outcomes.popleft()

    @staticmethod
    def _spread(after: float) -> float:
        return after + random.uniform(0, max(1.0, after * 0.2))  # noqa: S311 - jitter, not a secret


@dataclass
class Breakers:
    """One breaker per name, made when first asked for."""

    rules: BreakerRules = field(default_factory=BreakerRules)
    clock: Callable[[], float] = time.monotonic
    _made: dict[str, Breaker] = field(default_factory=dict)

    def of(self, name: str) -> Breaker:
        return self._made.setdefault(name, Breaker(name, self.rules, self.clock))

    def views(self) -> list[BreakerView]:
        return [self._made[name].view() for name in sorted(self._made)]
