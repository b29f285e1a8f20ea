"""The figures of an evaluation, against brute force and known values."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.evals import Baseline, Counted
from evals.baseline import regressions
from evals.statistics import chance_of_fewer, pass_hat_k, score, wilson


@given(st.data())
def test_pass_hat_k_is_the_share_of_choices_of_k_tries_that_all_passed(data: st.DataObject) -> None:
    outcomes = data.draw(st.lists(st.booleans(), min_size=1, max_size=9))
    k = data.draw(st.integers(1, len(outcomes)))
    chosen = list(combinations(outcomes, k))
    assert pass_hat_k(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(all, chosen)) / len(chosen))


@pytest.mark.parametrize(
    ("tries", "passed", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (263, 81, 0.2553, 0.3662),
        (148, 15, 0.0624, 0.1605),
        (20, 0, 0.0, 0.1611),
        (29, 1, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(tries: int, passed: int, low: float, high: float) -> None:
    assert wilson(tries, passed) == pytest.approx((low, high), abs=5e-5)


@given(st.data())
def test_an_interval_holds_its_share_and_stays_within_0_and_1(data: st.DataObject) -> None:
    tries = data.draw(st.integers(1, 500))
    passed = data.draw(st.integers(0, tries))
    low, high = wilson(tries, passed)
    assert 0 <= low <= passed / tries <= high <= 1


@given(st.data())
def test_fishers_test_counts_the_ways_in_which_so_few_pass(data: st.DataObject) -> None:
    before = data.draw(st.lists(st.booleans(), min_size=1, max_size=5))
    now = data.draw(st.lists(st.booleans(), min_size=1, max_size=5))
    everyone = [*before, *now]
    ways = list(combinations(everyone, len(now)))
    as_few = sum(sum(way) <= sum(now) for way in ways) / len(ways)
    assert chance_of_fewer(_counted(before), _counted(now)) == pytest.approx(as_few)


def test_a_score_over_cases_is_the_mean_of_their_pass_hat_k() -> None:
    found = score([Counted(tries=4, passed=4), Counted(tries=4, passed=2)], 2)
    assert found.pass_1.value == 0.75
    assert found.pass_k.value == pytest.approx((1 + 1 / 6) / 2)
    assert found.pass_k.low < found.pass_k.value < found.pass_k.high


def baseline(recorded: str = "a", **cases: tuple[int, int]) -> Baseline:
    counts = {name: Counted(passed=passed, tries=tries) for name, (passed, tries) in cases.items()}
    return Baseline(recorded=recorded, cases=counts, cost=0, seconds=0)


@pytest.mark.parametrize(
    ("accepted", "now", "said"),
    [
        (baseline(one=(3, 3)), baseline(one=(3, 3)), []),
        (baseline(one=(2, 3)), baseline(one=(3, 3)), []),
        (baseline(one=(3, 3)), baseline(one=(2, 3)), ["one: 2 of 3 pass, 3 of 3 were accepted with the same"]),
        (baseline(one=(2, 3)), baseline(one=(1, 2)), []),
        (baseline(one=(2, 3)), baseline(one=(0, 2)), ["one: 0 of 2 pass, 2 of 3 were accepted with the same"]),
        (baseline(one=(1, 2)), baseline(one=(1, 3)), []),
        (baseline(one=(1, 2)), baseline(one=(0, 3)), ["one: 0 of 3 pass, 1 of 2 were accepted with the same"]),
        (baseline(one=(3, 3)), baseline("b", one=(2, 3)), []),
        (baseline(one=(9, 10)), baseline("b", one=(3, 10)), ["one: 3 of 10", "all cases together: 3 of 10"]),
        (
            baseline(one=(5, 5), two=(5, 5)),
            baseline("b", one=(3, 5), two=(3, 5)),
            ["all cases together: 6 of 10 pass, 10 of 10 were accepted (Fisher's exact test, one-sided: p = 0.043)"],
        ),
        (baseline(one=(3, 3)), baseline(two=(3, 3)), ["one is in the baseline and not", "two is in the cases and not"]),
    ],
)
def test_what_is_worse_beyond_noise_is_told(accepted: Baseline, now: Baseline, said: list[str]) -> None:
    found = list(regressions(accepted, now))
    assert len(found) == len(said)
    assert all(part in whole for part, whole in zip(said, found, strict=True))


def _counted(outcomes: list[bool]) -> Counted:
    return Counted(tries=len(outcomes), passed=sum(outcomes))
