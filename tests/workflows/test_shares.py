"""Leases of shared budgets: however agents use what they are lent, together they never use more than there is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.model import Usage
from contracts.process import Budget
from workflows.shares import Share, lacking, left, lend

budgets = st.builds(
    Budget,
    turns=st.none() | st.integers(1, 60),
    tokens=st.none() | st.integers(1, 50_000),
    cost=st.none() | st.floats(0.001, 10),
)
steps = st.lists(
    st.tuples(st.integers(0, 4), st.integers(100, 4_000), st.floats(0, 1), st.booleans(), st.integers(1, 20)),
    max_size=60,
)


def within(limits: Budget, used: Usage) -> bool:
    return (
        (limits.turns is None or used.calls <= limits.turns)
        and (limits.tokens is None or used.tokens <= limits.tokens)
        and (limits.cost is None or used.cost <= limits.cost + 1e-9)
    )


def turn(share: Share, part: float, limits: Budget) -> Usage:
    """One more turn, of a part of what is leased."""
    free = share.leased
    return Usage(
        calls=share.used.calls + 1,
        input_tokens=share.used.tokens + int(part * (free.tokens - share.used.tokens)) if limits.tokens else 9,
        cost=share.used.cost + part * (free.cost - share.used.cost) if limits.cost else 9.0,
    )


@settings(deadline=None)
@given(run=budgets, goal=budgets, steps=steps)
def test_agents_that_stay_inside_their_leases_stay_inside_every_budget(
    run: Budget, goal: Budget, steps: list[tuple[int, int, float, bool, int]]
) -> None:
    ended, shares = Usage(), dict[int, Share]()
    for who, tokens, part, ends, turns in steps:
        share = shares.get(who) or shares.setdefault(who, Share())
        share.leased = share.used  # It asks for more, and holds nothing meanwhile.
        free = [left(limits, ended, shares.values()) for limits in (run, goal)]
        if not any(lacking(budget, tokens) for budget in free):
            lend(share, free, len(shares), tokens)
            for limits in (run, goal):
                held = sum((other.leased for other in shares.values()), ended)
                assert within(limits, held)
            is_bound = run.turns is not None or goal.turns is not None
            lent = share.leased.calls - share.used.calls if is_bound else turns
            both = Budget(tokens=run.tokens or goal.tokens, cost=run.cost or goal.cost)
            for _ in range(min(turns, lent)):
                share.used = turn(share, part, both)
        if ends:  # A retry, or another child, begins with a share of its own.
            ended += shares.pop(who).used
    used = sum((share.used for share in shares.values()), ended)
    for limits in (run, goal):
        bounded = Budget(turns=limits.turns, tokens=limits.tokens, cost=limits.cost)
        assert within(bounded, used)


@settings(deadline=None)
@given(limits=budgets, agents=st.integers(1, 20))
def test_a_lone_agent_is_never_refused_what_is_left(limits: Budget, agents: int) -> None:
    share = Share()
    turns = 0
    while turns < 500 and lacking(left(limits, Usage(), [share]), 100) is None:
        lend(share, [left(limits, Usage(), [share])], agents, 100)
        share.used = Usage(calls=share.leased.calls, input_tokens=share.leased.tokens, cost=share.leased.cost)
        turns += 1
    if limits.turns is not None and limits.tokens is None and limits.cost is None:
        assert share.used.calls == limits.turns
