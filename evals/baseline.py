"""What is worse than what was accepted."""

from collections.abc import Iterator

from contracts.evals import Baseline, Counted
from evals.statistics import NOISE, chance_of_fewer


def regressions(accepted: Baseline, now: Baseline) -> Iterator[str]:
    """With the same recorded answers nothing is left to chance, and one try less is worse; with fewer tries or more,
    what is worse whichever of them pass. With others, what Fisher's exact test says is not noise: for each case, and
    for all of them together."""
    for name in sorted(accepted.cases.keys() ^ now.cases.keys()):
        here, there = ("the cases", "the baseline") if name in now.cases else ("the baseline", "the cases")
        yield f"{name} is in {here} and not in {there}; accept anew"
    both = [(name, accepted.cases[name], now.cases[name]) for name in accepted.cases if name in now.cases]
    for name, before, after in both:
        yield from _worse(name, before, after, same=accepted.recorded == now.recorded)
    if both and accepted.recorded != now.recorded:
        before, after = (_total([each[side] for each in both]) for side in (1, 2))  # type: ignore[misc]
        yield from _worse("all cases together", before, after, same=False)


def _worse(name: str, before: Counted, now: Counted, *, same: bool) -> Iterator[str]:
    counts = f"{name}: {now.passed} of {now.tries} pass, {before.passed} of {before.tries} were accepted"
    if same:
        # The tries of one are among those of the other: they fail no more often, nor pass more often.
        fails_more = now.tries - now.passed > before.tries - before.passed
        if fails_more if now.tries <= before.tries else now.passed < before.passed:
            yield f"{counts} with the same recorded answers"
    elif (chance := chance_of_fewer(before, now)) <= NOISE:
        yield f"{counts} (Fisher's exact test, one-sided: p = {chance:.3f})"


def _total(counts: list[Counted]) -> Counted:
    return Counted(tries=sum(each.tries for each in counts), passed=sum(each.passed for each in counts))
