"""A breaker opens on what fails or is slow, probes, and closes; at a clock that the test moves."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as some

from activities.breaker import Breaker, BreakerOpen, BreakerRules

RULES = BreakerRules(window=30, at_least=4, failure_rate=0.5, slow=5, slow_rate=0.5, pause=10, max_pause=40, probes=2)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker("host", RULES, clock)
    for _ in range(4):
        breaker.admit()
        breaker.record(ok=False, why="503")
    return breaker


def test_it_opens_on_the_share_of_failures_and_says_when_to_come_back() -> None:
    breaker = opened(Clock())
    with pytest.raises(BreakerOpen, match="4 of its last 4 calls failed, the last with 503") as refused:
        breaker.admit()
    assert 10 <= refused.value.after <= 12
    assert breaker.view().state == "open"


def test_it_opens_on_the_share_of_slow_calls() -> None:
    breaker = Breaker("host", RULES, Clock())
    for seconds in (1, 1, 6, 6):
        breaker.record(ok=True, seconds=seconds)
    with pytest.raises(BreakerOpen, match="2 of its last 4 calls took over 5 s"):
        breaker.admit()


def test_callers_mistakes_and_what_is_long_ago_do_not_count() -> None:
    clock = Clock()
    breaker = Breaker("host", RULES, clock)
    for _ in range(3):
        breaker.record(ok=False)
    for _ in range(10):
        breaker.record(ok=None)
    clock.now = 31
    breaker.record(ok=False)
    breaker.admit()
    assert breaker.view().calls == 1


def test_a_few_probes_pass_and_close_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    breaker.admit()
    breaker.admit()
    with pytest.raises(BreakerOpen, match="being probed"):
        breaker.admit()
    breaker.record(ok=True)
    assert breaker.view().state == "half-open"
    breaker.record(ok=True)
    assert breaker.view().state == "closed"
    breaker.admit()


def test_a_probe_that_fails_opens_it_for_longer_up_to_a_bound() -> None:
    clock = Clock()
    breaker = opened(clock)
    for pause in (20, 40, 40):
        clock.now += breaker.view().after
        breaker.admit()
        breaker.record(ok=False, why="503")
        assert breaker.view().after == pause


def test_a_probe_whose_outcome_says_nothing_lets_another_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    for _ in range(5):
        breaker.admit()
        breaker.record(ok=None)


def test_a_long_good_past_does_not_hide_an_outage() -> None:
    breaker = Breaker("host", BreakerRules(window=600, most=10), Clock())
    for _ in range(1_000):
        breaker.record(ok=True)
    for _ in range(5):
        breaker.admit()
        breaker.record(ok=False)
    assert breaker.view().state == "open"


def test_probes_that_hang_do_not_keep_it_open_for_ever() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    assert breaker.admit()
    assert breaker.admit()
    clock.now = 20
    assert breaker.admit()
    with pytest.raises(BreakerOpen):
        breaker.admit()
    assert breaker.view().probes == 3


def test_an_operator_forces_it_either_way_and_takes_that_back() -> None:
    breaker = opened(Clock())
    breaker.force("closed")
    breaker.admit()
    breaker.force("open")
    with pytest.raises(BreakerOpen, match="operator"):
        breaker.admit()
    breaker.force(None)
    breaker.admit()


@given(some.lists(some.tuples(some.floats(0, 20), some.booleans()), max_size=60))
def test_whatever_fails_an_outage_is_called_by_probes_only(history: list[tuple[float, bool]]) -> None:
    """Between opening and the end of the pause nothing is admitted, and never more than the probes at once after it."""
    clock = Clock()
    breaker = Breaker("host", RULES, clock)
    for pause, ok in history:
        clock.now += pause
        before = breaker.view()
        admitted = 0
        for _ in range(RULES.probes + 3):
            try:
                breaker.admit()
            except BreakerOpen:
                break
            admitted += 1
        expected = {"closed": RULES.probes + 3, "open": 0, "half-open": RULES.probes}[before.state]
        assert admitted == expected
        for _ in range(admitted):
            breaker.record(ok=ok)
