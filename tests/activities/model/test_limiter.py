"""A declared limit is never exceeded, whatever calls come when; at a clock that the test moves."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as some

from activities.model.limiter import WINDOW, Limiter, Rates


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Endpoint:
    """What an endpoint sees of calls that keep to a limit: when each was made, with how many tokens."""

    rates: Rates
    clock: Clock = field(default_factory=Clock)
    seen: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.clock)

    def call(self, key: object, reserved: int, real: int) -> float:
        wait = self.limiter.take(key, reserved, self.rates)
        if not wait:
            self.seen.append((self.clock.now, real))
            self.limiter.settle(key, real)
        return wait

    def exceeded(self) -> bool:
        for start, _ in self.seen:
            minute = [tokens for at, tokens in self.seen if start <= at < start + 60]
            if not self.rates.hold(len(minute), sum(minute)):
                return True
        return False


CALLS = some.lists(
    some.tuples(some.floats(0, 30), some.integers(1, 100), some.floats(0, 1)),
    max_size=60,
)


@given(calls=CALLS, requests=some.integers(1, 10), tokens=some.integers(100, 400))
def test_no_minute_holds_more_than_is_declared(
    calls: list[tuple[float, int, float]], requests: int, tokens: int
) -> None:
    endpoint = Endpoint(Rates(requests, tokens))
    due: list[tuple[float, int, int, int]] = []
    for number, (pause, reserved, share) in enumerate(calls):
        due.append((endpoint.clock.now + pause, number, reserved, int(reserved * share)))
        endpoint.clock.now += pause / 2
    while due:
        at, number, reserved, real = due.pop(due.index(min(due)))
        endpoint.clock.now = max(endpoint.clock.now, at)
        wait = endpoint.call(number, reserved, real)
        if wait:
            due.append((endpoint.clock.now + wait, number, reserved, real))
    assert not endpoint.exceeded()
    assert len(endpoint.seen) == len(calls), "everyone's turn comes"


def test_what_is_not_used_of_an_estimate_is_free_for_others() -> None:
    endpoint = Endpoint(Rates(tokens=100))
    assert endpoint.call("first", 90, 10) == 0
    assert endpoint.call("second", 90, 90) == 0
    assert endpoint.call("third", 1, 1) > 0
    assert endpoint.limiter.used() == (2, 100)


def test_what_a_call_took_beyond_its_estimate_is_waited_for() -> None:
    endpoint = Endpoint(Rates(tokens=100))
    endpoint.call("first", 50, 100)
    assert endpoint.call("second", 1, 1) == pytest.approx(WINDOW)


def test_those_who_wait_go_in_the_order_they_came() -> None:
    endpoint = Endpoint(Rates(requests=1))
    endpoint.call("first", 1, 1)
    waits = [endpoint.call(key, 1, 1) for key in ("second", "third")]
    assert waits == [pytest.approx(WINDOW), pytest.approx(2 * WINDOW)]
    endpoint.clock.now = WINDOW
    assert endpoint.call("late", 1, 1) > waits[1] - WINDOW
    assert endpoint.call("second", 1, 1) == 0


def test_the_place_of_one_that_never_comes_back_is_given_away() -> None:
    endpoint = Endpoint(Rates(requests=1))
    endpoint.call("first", 1, 1)
    endpoint.call("gone", 1, 1)
    endpoint.clock.now = 2 * WINDOW + 1
    assert endpoint.call("new", 1, 1) == 0


def test_a_call_of_which_nobody_knows_what_it_took_counts_as_estimated() -> None:
    limiter = Limiter(Clock())
    limiter.take("lost", 70, Rates(tokens=100))
    limiter.settle("lost", None)
    assert limiter.used() == (1, 70)


def test_a_call_that_is_not_made_after_all_counts_as_nothing() -> None:
    limiter = Limiter(Clock())
    limiter.take("other", 10, Rates(tokens=100))
    limiter.take("not made", 70, Rates(tokens=100))
    limiter.withdraw("not made")
    assert limiter.used() == (1, 10)
