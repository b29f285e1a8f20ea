"""Budgets that several agents share, a goal's or a run's: each works on a lease, and asks for more in time."""

from datetime import datetime

from contracts.base import Contract
from contracts.model import Usage


class Lease(Contract):
    """What one agent may use in all, from its start on, by what was granted so far; None is without a bound.

    `until`: when the time of a goal or the run is over. `of`: whose budgets these are, in words.
    """

    turns: int | None = None
    tokens: int | None = None
    cost: float | None = None
    until: datetime | None = None
    of: str = "the run"


class LeaseRequest(Contract):
    """An agent needs more. `used`: by it so far; `tokens`, `cost`: what its next turn needs, as far as it
    knows. `id` counts its requests."""

    id: int
    step: str
    child: str
    used: Usage
    tokens: int
    cost: float = 0.0


class LeaseAnswer(Contract):
    """`lease`: in place of the one before; None when the budgets have no more. `lacking`: whose budget, its limit."""

    id: int
    lease: Lease | None = None
    lacking: tuple[str, str] | None = None
