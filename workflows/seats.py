"""The seats of an approval, and who fills them. A stage has a seat for each approval it needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from contracts.ballot import ApprovalState, OpenStage


@dataclass(frozen=True)
class Seats:
    """So many seats, each for one of these users."""

    users: frozenset[str]
    count: int


def seats_of(stages: Iterable[OpenStage], escalated: Iterable[str] = ()) -> tuple[Seats, ...]:
    """`escalated`: users who can fill any seat."""
    more = tuple(escalated)
    return tuple(seats for stage in stages for seats in _of_stage(stage, more))


def _of_stage(stage: OpenStage, more: tuple[str, ...]) -> Iterable[Seats]:
    if stage.everyone:
        return [Seats(frozenset({*users, *more}), 1) for users in stage.asked.values()]
    everybody = (user for users in stage.asked.values() for user in users)
    return [Seats(frozenset({*everybody, *more}), stage.needed)]


class Seating:
    """Users on seats, each on one, as many as possible, whatever the order in which they came: a maximum bipartite
    matching by augmenting paths (H. W. Kuhn, "The Hungarian method", 1955)."""

    def __init__(self, seats: Iterable[Seats], users: Iterable[str] = ()) -> None:
        self._seats = tuple(seats)
        self._held: list[list[str]] = [[] for _ in self._seats]
        for user in users:
            self.take(user)

    @classmethod
    def of(cls, state: ApprovalState, *more: str) -> Self:
        """The open seats with those who have approved, and these besides."""
        return cls(seats_of(state.open_stages, _escalated(state)), (*_voices_in(state, state.stage), *more))

    @property
    def filled(self) -> int:
        return sum(len(held) for held in self._held)

    @property
    def missing(self) -> int:
        return sum(seats.count for seats in self._seats) - self.filled

    @property
    def holders(self) -> tuple[tuple[str, ...], ...]:
        """Who sits where, for each of the seats."""
        return tuple(tuple(held) for held in self._held)

    def has_room_for(self, user: str) -> bool:
        """Whether one seat more is filled with them."""
        tried = type(self)(self._seats)
        tried._held = [list(held) for held in self._held]
        return tried.take(user)

    def take(self, user: str) -> bool:
        """Sit them down, others moving up where they must; False when that fills no seat more."""
        return self._take(user, set())

    def _take(self, user: str, tried: set[int]) -> bool:
        fitting = [index for index, seats in enumerate(self._seats) if user in seats.users and index not in tried]
        for index in fitting:
            if len(self._held[index]) < self._seats[index].count:
                self._held[index].append(user)
                return True
        for index in fitting:
            if index in tried:
                continue
            tried.add(index)
            for other in list(self._held[index]):
                if self._take(other, tried):
                    self._held[index].remove(other)
                    self._held[index].append(user)
                    return True
        return False


def filled_by(state: ApprovalState) -> tuple[tuple[str, ...], ...]:
    """Who approved, for each stage: those on its seats, whoever's they are."""
    by = {vote.voice: vote.by for vote in state.votes}
    if not state.side_by_side:
        seatings = [
            Seating(seats_of((stage,), _escalated(state)), _voices_in(state, number))
            for number, stage in enumerate(state.stages)
        ]
    else:
        seatings = [Seating.of(state)]
    holders = (held for seating in seatings for held in seating.holders)
    voices = ([voice for _ in _of_stage(stage, ()) for voice in next(holders)] for stage in state.stages)
    return tuple(tuple(by[voice] for voice in found) for found in voices)


def _voices_in(state: ApprovalState, stage: int) -> list[str]:
    return [vote.voice for vote in state.votes if vote.decision == "approve" and vote.stage == stage]


def _escalated(state: ApprovalState) -> list[str]:
    return [user for users in state.escalation.values() for user in users]
