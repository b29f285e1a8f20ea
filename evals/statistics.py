"""How sure a count of passes makes us."""

from collections.abc import Sequence
from math import comb, sqrt

from contracts.evals import Counted, Estimate, Score

Z = 1.959964
"""Of an interval of 95 %."""

NOISE = 0.05
"""The chance up to which we take something for more than noise."""


def pass_hat_k(tries: int, passed: int, k: int) -> float:
    """The chance that all of k independent tries pass, estimated without bias by C(passed, k) / C(tries, k).

    Source: Yao et al., tau-bench, 2024, arXiv:2406.12045, section 3.
    """
    return comb(passed, k) / comb(tries, k)


def wilson(tries: int, passed: int) -> tuple[float, float]:
    """The score interval of a share: unlike that of the normal approximation it holds near 0 and 1 and for few tries.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927), 209-212.
    """
    share, square = passed / tries, Z * Z
    middle = share + square / (2 * tries)
    spread = Z * sqrt(share * (1 - share) / tries + square / (4 * tries * tries))
    # At its ends the interval touches 0 and 1 exactly, which floats miss.
    low = 0.0 if passed == 0 else (middle - spread) / (1 + square / tries)
    high = 1.0 if passed == tries else (middle + spread) / (1 + square / tries)
    return low, high


def score(counts: Sequence[Counted], k: int) -> Score:
    """Over cases. pass@1 takes all tries for one sample. pass^k is the mean of the cases' own, as in tau-bench, and so
    are its bounds, each Wilson's to the power of k; an interval of means made so is rather too wide."""
    tries, passed = sum(each.tries for each in counts), sum(each.passed for each in counts)
    low, high = wilson(tries, passed)
    bounds = [wilson(each.tries, each.passed) for each in counts]
    return Score(
        pass_1=Estimate(value=passed / tries, low=low, high=high),
        pass_k=Estimate(
            value=_mean([pass_hat_k(each.tries, each.passed, k) for each in counts]),
            low=_mean([low**k for low, _ in bounds]),
            high=_mean([high**k for _, high in bounds]),
        ),
    )


def chance_of_fewer(before: Counted, now: Counted) -> float:
    """That, were both alike, no more of the tries of now would pass: Fisher's exact test, one-sided.

    Source: Fisher, The Design of Experiments, 1935, section 11 (the hypergeometric distribution).
    """
    tries, passed = before.tries + now.tries, before.passed + now.passed
    ways = (comb(now.tries, few) * comb(before.tries, passed - few) for few in range(now.passed + 1) if few <= passed)
    return sum(ways) / comb(tries, passed)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
