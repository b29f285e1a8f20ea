"""What agents at work hold of the budgets they share, and how much each is lent next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.model import Usage
    from contracts.process import Budget

PARTS = 2
"""An agent is leased so much of what is free: one part in this times the agents at work."""


@dataclass
class Share:
    """What an agent holds: `leased` in all, of that `used` as far as it told. One that waits for more holds nothing
    that it has not used."""

    used: Usage = field(default_factory=Usage)
    leased: Usage = field(default_factory=Usage)
    is_waiting: bool = False


def left(limits: Budget, used: Usage, shares: Iterable[Share]) -> dict[str, float]:
    """Of each limit that there is, what is neither used nor leased. `used`: by agents that have ended."""
    held = sum((share.leased for share in shares), Usage())
    found: dict[str, float] = {}
    if limits.turns is not None:
        found["turns"] = limits.turns - used.calls - held.calls
    if limits.tokens is not None:
        found["tokens"] = limits.tokens - used.tokens - held.tokens
    if limits.cost is not None:
        found["cost"] = limits.cost - used.cost - held.cost
    return found


def lacking(free: Mapping[str, float], tokens: int, cost: float = 0.0) -> str | None:
    """The limit that has not enough left for a turn of so many tokens, of this cost."""
    needs = {"tokens": tokens, "cost": cost}
    return next((limit for limit, rest in free.items() if rest <= 0 or rest < needs.get(limit, 0)), None)


def lend(share: Share, free: Sequence[Mapping[str, float]], among: int, tokens: int, cost: float = 0.0) -> None:
    """Lease an agent its part of what every budget has free, at least one turn of so many tokens, of this cost. None
    may lack it."""

    def part(limit: str, least: float) -> float:
        found = [budget[limit] for budget in free if limit in budget]
        return max(least, min(found) / (PARTS * among)) if found else 0

    share.leased = Usage(
        calls=share.used.calls + ceil(part("turns", 1)),
        input_tokens=share.used.tokens + int(part("tokens", tokens)),
        cost=share.used.cost + part("cost", cost),
    )
