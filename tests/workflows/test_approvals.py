"""Who may decide, what counts, when it is decided."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.approval import Stage
from contracts.ballot import ApprovalState
from contracts.decisions import Decision
from contracts.errors import StepError
from workflows.approvals import candidates, count, deciders, missing, open_stages, refusal

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
USERS = {
    "group:finance": ("user:alice", "user:bob"),
    "group:controllers": ("user:carol",),
    "user:alice": ("user:alice",),
    "user:cfo": ("user:cfo",),
    "user:dan": ("user:dan",),
}


def approval(*stages: Stage, **changes: object) -> ApprovalState:
    state = ApprovalState(title="Pay?", show={}, hash="h1", stages=open_stages(stages, USERS), since=NOW)
    return state.model_copy(update=changes)


def says(by: str, decision: str = "approve", **more: object) -> Decision:
    return Decision.model_validate({"step": "ok", "decision": decision, "by": by, **more})


def decide(state: ApprovalState, *decisions: Decision) -> tuple[ApprovalState, str | None]:
    for decision in decisions:
        assert state.outcome is None
        assert refusal(state, decision) is None
        state = count(state, decision, NOW)
    return state, state.outcome


def test_any_of_a_group_is_enough_by_default() -> None:
    assert decide(approval(Stage(any_of=("group:finance",))), says("bob"))[1] == "approved"


def test_count_needs_that_many_different_people() -> None:
    state, outcome = decide(approval(Stage(any_of=("group:finance",), count=2)), says("alice"))
    assert outcome is None
    assert missing(state) == 1
    assert "decided already" in (refusal(state, says("alice")) or "")
    assert decide(state, says("bob"))[1] == "approved"


def test_all_of_needs_one_person_for_each_name() -> None:
    both = approval(Stage(all_of=("group:finance", "user:alice")))
    state, outcome = decide(both, says("alice"))
    assert outcome is None
    assert decide(state, says("bob"))[1] == "approved"


def test_stages_open_one_after_the_other() -> None:
    state = approval(Stage(any_of=("group:controllers",)), Stage(all_of=("user:cfo",)))
    assert "not asked" in (refusal(state, says("cfo")) or "")
    state, outcome = decide(state, says("carol"))
    assert outcome is None
    assert list(deciders(state)) == ["user:cfo"]
    assert decide(state, says("cfo"))[1] == "approved"


def test_one_rejection_with_a_reason_rejects() -> None:
    state = approval(Stage(any_of=("group:finance",), count=2))
    assert "needs a reason" in (refusal(state, says("alice", "reject")) or "")
    assert decide(state, says("alice", "reject", comment="too much"))[1] == "rejected"


def test_a_stale_hash_is_refused_with_the_current_one() -> None:
    state = approval(Stage(any_of=("group:finance",)))
    assert "it is now h1" in (refusal(state, says("alice", hash="h0")) or "")
    assert refusal(state, says("alice", hash="h1")) is None


def test_not_by_keeps_out_who_would_be_asked() -> None:
    state = approval(Stage(any_of=("group:finance",)), not_by=("user:alice",))
    assert "may not decide here" in (refusal(state, says("alice")) or "")
    assert refusal(state, says("bob")) is None


def test_candidates_are_those_whose_decision_would_count() -> None:
    state = approval(Stage(any_of=("group:finance", "user:dan"), count=2), not_by=("user:bob",))
    assert candidates(state) == ("user:alice", "user:dan")
    assert candidates(decide(state, says("dan"))[0]) == ("user:alice",)


def test_edits_make_a_new_hash_and_void_earlier_votes() -> None:
    state, _ = decide(approval(Stage(any_of=("group:finance",), count=2)), says("alice"))
    state, outcome = decide(state, says("bob", edits={"amount": 5}))
    assert outcome is None
    assert state.hash != "h1"
    assert [vote.by for vote in state.votes] == ["user:bob"]
    assert decide(state, says("alice"))[1] == "approved"


def test_those_brought_in_by_escalation_may_decide_then_and_only_then() -> None:
    state = approval(Stage(any_of=("group:finance",)), escalate_to={"user:cfo": ("user:cfo",)})
    assert "not asked" in (refusal(state, says("cfo")) or "")
    state = state.model_copy(update={"escalated": True})
    assert decide(state, says("cfo"))[1] == "approved"


def test_an_approval_that_can_never_be_reached_is_an_error_when_it_opens() -> None:
    with pytest.raises(StepError, match="needs 3 different people, but group:finance are only 2"):
        approval(Stage(any_of=("group:finance",), count=3))


voters = st.sampled_from(["user:alice", "user:bob", "user:carol", "user:cfo", "user:dan", "user:mallory"])
stages = st.lists(
    st.one_of(
        st.builds(lambda n: Stage(any_of=("group:finance", "user:dan"), count=n), st.integers(1, 3)),
        st.sampled_from(
            [
                Stage(all_of=("user:cfo",)),
                Stage(any_of=("group:controllers",)),
                Stage(all_of=("group:finance", "user:alice")),
            ]
        ),
    ),
    min_size=1,
    max_size=3,
)


@given(stages, st.lists(st.tuples(voters, st.integers(0, 10_000)), max_size=40))
def test_approved_only_by_enough_different_people_who_were_asked(
    made: list[Stage], said: list[tuple[str, int]]
) -> None:
    state = approval(*made)
    for by, seconds in said:
        if refusal(state, says(by)) is not None:
            continue
        state = count(state, says(by), NOW + timedelta(seconds=seconds))
        if state.outcome == "approved":
            break
    else:
        return
    voted = [vote.by for vote in state.votes]
    assert len(set(voted)) == len(voted)
    assert "user:mallory" not in voted
    for number, stage in enumerate(state.stages):
        here = {vote.by for vote in state.votes if vote.stage == number}
        assert len(here) >= stage.needed
        assert all(any(by in users for users in stage.asked.values()) for by in here)
