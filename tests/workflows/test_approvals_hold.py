"""Whatever is said to an approval, in whatever order: it is approved by enough different people who may, and what is
acknowledged counts."""

from datetime import timedelta
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.approval import Stage
from contracts.ballot import ApprovalState, Vote
from contracts.decisions import Decision
from contracts.errors import StepError
from contracts.people import Deputy
from tests.workflows.test_approvals import NOW, USERS
from workflows.approvals import decide, refusal
from workflows.electorate import candidates, check_reachable, resolved

PEOPLE = ["user:alice", "user:bob", "user:carol", "user:cfo", "user:dan", "user:mallory"]
HOURS = 6

people = st.sampled_from(PEOPLE)
stages = st.lists(
    st.sampled_from(
        [
            Stage(any_of=("group:finance", "user:dan")),
            Stage(any_of=("group:finance", "user:dan", "user:cfo"), count=2),
            Stage(any_of=("group:controllers", "user:dan"), count=2),
            Stage(all_of=("user:cfo",)),
            Stage(all_of=("group:finance", "user:alice")),
        ]
    ),
    min_size=1,
    max_size=2,
)
deputies = st.dictionaries(
    people,
    st.tuples(
        st.builds(
            lambda user, start, end: Deputy(
                user=user, since=NOW + timedelta(hours=start), until=NOW + timedelta(hours=end)
            ),
            people,
            st.integers(0, 2),
            st.integers(2, HOURS),
        )
    ),
    max_size=3,
)
ballots = st.fixed_dictionaries(
    {
        "side_by_side": st.booleans(),
        "not_by": st.lists(people, max_size=1).map(tuple),
        "bars_editor": st.booleans(),
        "deputies": deputies,
        "escalate_to": st.sampled_from([{}, {"user:carol": ("user:carol",)}]),
    }
)
said = st.lists(
    st.tuples(
        st.sampled_from(
            ["approve", "approve", "approve", "edit", "withdraw", "claim", "release", "delegate", "comment"]
        ),
        people,
        people,
    ),
    max_size=25,
)


def message(verb: str, by: str, other: str, number: int) -> Decision:
    more: dict[str, Any] = {"to": other} if verb == "delegate" else {}
    if verb == "edit":
        verb, more = "approve", {"edits": {"n": number}}
    return Decision.model_validate({"step": "ok", "decision": verb, "by": by, "comment": "because", **more})


def fill(state: ApprovalState) -> bool:
    """Whether the votes fill every seat of every stage, tried out one by one."""

    def fits(votes: list[Vote], seats: list[set[str]]) -> bool:
        return any(
            all(vote.voice in seat for vote, seat in zip(order, seats, strict=True))
            for order in permutations(votes, len(seats))
        )

    brought_in = {user for users in state.escalation.values() for user in users}

    def seats(stage_seats: ApprovalState, number: int) -> list[set[str]]:
        stage = stage_seats.stages[number]
        if stage.everyone:
            return [{*users, *brought_in} for users in stage.asked.values()]
        return [{user for users in stage.asked.values() for user in users} | brought_in] * stage.needed

    numbers = range(len(state.stages))
    if state.side_by_side:
        return fits(list(state.votes), [seat for number in numbers for seat in seats(state, number)])
    return all(fits([vote for vote in state.votes if vote.stage == number], seats(state, number)) for number in numbers)


def may_speak_for(state: ApprovalState, vote: Vote) -> bool:
    handed = {given.by: given.to for given in state.delegations}
    if vote.voice in handed:
        return handed[vote.voice] == vote.by
    acts = any(deputy.user == vote.by and deputy.acts(vote.at) for deputy in state.deputies.get(vote.voice, ()))
    return vote.by == vote.voice or acts


def assert_counted(before: ApprovalState, after: ApprovalState, verb: str, by: str) -> None:
    if verb == "approve":
        assert after.votes == (*before.votes, after.votes[-1])
        assert after.votes[-1].by == by
    elif verb == "edit":
        assert after.hash != before.hash
        assert [vote.by for vote in after.votes] in ([], [by])
    elif verb == "withdraw":
        assert not any(by in vote.people for vote in after.votes)
    assert before.hash == after.hash or not any(vote in after.votes for vote in before.votes)


def assert_only_who_may(state: ApprovalState) -> None:
    taken_part = [user for vote in state.votes for user in vote.people]
    assert len(taken_part) == len(set(taken_part))
    assert not state.barred & set(taken_part)
    assert all(may_speak_for(state, vote) for vote in state.votes)
    if state.outcome == "approved":
        assert len({vote.by for vote in state.votes}) >= sum(stage.needed for stage in state.stages)


@settings(max_examples=400, deadline=None)
@given(stages, ballots, said, st.booleans())
def test_approved_only_by_enough_different_people_who_may_and_acknowledged_is_counted(
    made: list[Stage], ballot: dict[str, Any], messages: list[tuple[str, str, str]], escalated: bool
) -> None:
    state = ApprovalState(title="Pay?", show={}, hash="h", stages=resolved(made, USERS), since=NOW, **ballot)
    try:
        check_reachable(state)
    except StepError:
        return
    for number, (verb, by, other) in enumerate(messages):
        at = NOW + timedelta(hours=HOURS * number / len(messages))
        if number == len(messages) // 2 and escalated:
            state = state.model_copy(update={"escalated": True})
        decision = message(verb, by, other, number)
        counts = refusal(state, decision, at) is None
        if verb == "approve":
            assert counts == (by in candidates(state, at))
        if not counts:
            continue
        before, state = state, decide(state, decision, at)
        assert_counted(before, state, verb, by)
        if state.outcome is not None:
            break
    assert_only_who_may(state)
    assert (state.outcome == "approved") == fill(state)
