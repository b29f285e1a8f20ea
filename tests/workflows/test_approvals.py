"""Who may decide, what counts, when it is decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.approval import Stage
from contracts.ballot import ApprovalState
from contracts.decisions import Decision
from contracts.errors import StepError
from contracts.people import Deputy
from workflows.approvals import decide, decider, lapsed, refusal
from workflows.electorate import candidates, check_reachable, resolved
from workflows.seats import Seating, filled_by

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
USERS = {
    "group:finance": ("user:alice", "user:bob"),
    "group:controllers": ("user:carol",),
    "user:alice": ("user:alice",),
    "user:bob": ("user:bob",),
    "user:cfo": ("user:cfo",),
    "user:dan": ("user:dan",),
}
FINANCE = Stage(any_of=("group:finance",))
BOTH = Stage(any_of=("group:finance",), count=2)
CFO = Stage(all_of=("user:cfo",))


def approval(*stages: Stage, **changes: Any) -> ApprovalState:
    state = ApprovalState(title="Pay?", show={}, hash="h1", stages=resolved(stages, USERS), since=NOW, **changes)
    check_reachable(state)
    return state


def deputy(of: str, user: str, **when: Any) -> dict[str, tuple[Deputy, ...]]:
    return {f"user:{of}": (Deputy(user=f"user:{user}", **when),)}


def says(by: str, decision: str = "approve", **more: object) -> Decision:
    return Decision.model_validate({"step": "ok", "decision": decision, "by": by, **more})


def why_not(state: ApprovalState, decision: Decision, at: datetime = NOW) -> str:
    """The refusal; empty when it counts."""
    return refusal(state, decision, at) or ""


def after(state: ApprovalState, *decisions: Decision, at: datetime = NOW) -> ApprovalState:
    for decision in decisions:
        assert state.outcome is None
        assert why_not(state, decision, at) == ""
        state = decide(state, decision, at)
    return state


def test_any_of_a_group_is_enough_by_default() -> None:
    assert after(approval(FINANCE), says("bob")).outcome == "approved"


def test_count_needs_that_many_different_people() -> None:
    state = after(approval(BOTH), says("alice"))
    assert state.outcome is None
    assert Seating.of(state).missing == 1
    assert "decided already" in why_not(state, says("alice"))
    assert after(state, says("bob")).outcome == "approved"


def test_all_of_needs_one_person_for_each_name() -> None:
    state = after(approval(Stage(all_of=("group:finance", "user:alice"))), says("alice"))
    assert state.outcome is None
    assert after(state, says("bob")).outcome == "approved"


def test_an_approval_that_fills_no_seat_more_is_refused_and_a_rejection_counts_all_the_same() -> None:
    state = after(approval(Stage(all_of=("group:finance", "user:cfo"))), says("alice"))
    assert "is not needed any more (approve by user:alice" in why_not(state, says("bob"))
    assert candidates(state, NOW) == ("user:cfo",)
    assert after(state, says("bob", "reject", comment="no")).outcome == "rejected"


def test_stages_open_one_after_the_other() -> None:
    state = approval(Stage(any_of=("group:controllers",)), CFO)
    assert "not asked" in why_not(state, says("cfo"))
    state = after(state, says("carol"))
    assert state.outcome is None
    assert list(state.asked_now) == ["user:cfo"]
    assert filled_by(state) == (("user:carol",), ())
    assert after(state, says("cfo")).outcome == "approved"


def test_stages_side_by_side_are_open_at_once() -> None:
    state = after(approval(FINANCE, CFO, side_by_side=True), says("cfo"))
    assert state.outcome is None
    assert filled_by(state) == ((), ("user:cfo",))
    assert after(state, says("bob")).outcome == "approved"


def test_side_by_side_a_person_counts_once_in_all_for_whichever_stage_is_short() -> None:
    alone = Stage(any_of=("user:alice",))
    state = after(approval(FINANCE, alone, side_by_side=True), says("alice"))
    assert state.outcome is None
    assert "decided already" in why_not(state, says("alice"))
    # Bob can stand for finance only, so that Alice moves to the stage that is hers alone.
    state = after(state, says("bob"))
    assert filled_by(state) == (("user:bob",), ("user:alice",))
    assert state.outcome == "approved"


def test_one_rejection_with_a_reason_rejects() -> None:
    state = approval(BOTH)
    assert "needs a reason" in why_not(state, says("alice", "reject"))
    assert after(state, says("alice", "reject", comment="too much")).outcome == "rejected"


def test_a_stale_hash_is_refused_with_the_current_one() -> None:
    state = approval(FINANCE)
    assert "it is now h1" in why_not(state, says("alice", hash="h0"))
    assert why_not(state, says("alice", hash="h1")) == ""


def test_not_by_keeps_out_who_would_be_asked() -> None:
    state = approval(FINANCE, not_by=("user:alice",))
    assert "may not decide here" in why_not(state, says("alice"))
    assert why_not(state, says("bob")) == ""


def test_candidates_are_those_whose_approval_would_count() -> None:
    state = approval(Stage(any_of=("group:finance", "user:dan"), count=2), not_by=("user:bob",))
    assert candidates(state, NOW) == ("user:alice", "user:dan")
    assert candidates(after(state, says("dan")), NOW) == ("user:alice",)


def test_those_brought_in_by_escalation_may_decide_then_and_only_then() -> None:
    state = approval(FINANCE, escalate_to={"user:cfo": ("user:cfo",)})
    assert "not asked" in why_not(state, says("cfo"))
    state = state.model_copy(update={"escalated": True})
    assert after(state, says("cfo")).outcome == "approved"


@pytest.mark.parametrize(
    ("stages", "changes", "reason"),
    [
        (
            [Stage(any_of=("group:finance",), count=3)],
            {},
            "stage 1 needs 3 different people, but group:finance are only 2",
        ),
        ([FINANCE, FINANCE, FINANCE], {}, "all stages together need 3 different people"),
        ([BOTH], {"not_by": ("user:bob",)}, "are only 1 without user:bob, who may not decide"),
    ],
)
def test_an_approval_that_can_never_be_reached_is_an_error_when_it_opens(
    stages: list[Stage], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(StepError, match=reason):
        approval(*stages, **changes)


def test_people_whom_escalation_brings_in_later_count_as_reachable() -> None:
    assert approval(BOTH, not_by=("user:bob",), escalate_to={"user:cfo": ("user:cfo",)}).outcome is None


def test_what_time_decided_nobody_did_though_somebody_had_agreed() -> None:
    one = after(approval(BOTH), says("alice"))
    assert [decider(lapsed(one, on_expiry)) for on_expiry in ("approve", "reject")] == [None, None]
    assert decider(one) is None
    assert decider(after(one, says("bob"))) == after(one, says("bob")).votes[-1]
    assert decider(after(one, says("bob", "reject", comment="no"))) is not None


def test_silence_agrees_to_what_was_asked_but_not_to_what_its_editor_may_not_approve() -> None:
    asked = approval(BOTH, escalate_to={"user:cfo": ("user:cfo",)})
    assert lapsed(asked, "approve").outcome == "approved"
    assert lapsed(after(asked, says("alice", edits={"amount": 9})), "approve").outcome == "approved"
    four_eyes = after(asked.model_copy(update={"bars_editor": True}), says("alice", edits={"amount": 9}))
    assert lapsed(four_eyes, "approve").outcome == "rejected"


class TestEdits:
    def test_they_make_a_new_hash_and_void_earlier_votes(self) -> None:
        state = after(approval(BOTH), says("alice"), says("bob", edits={"amount": 5}))
        assert state.outcome is None
        assert state.hash != "h1"
        assert [vote.by for vote in state.votes] == ["user:bob"]
        assert after(state, says("alice")).outcome == "approved"

    def test_with_not_by_editor_they_are_taken_and_the_editors_own_vote_is_not_counted(self) -> None:
        state = after(approval(FINANCE, bars_editor=True), says("alice", edits={"amount": 5}))
        assert (state.votes, state.edits) == ((), {"amount": 5})
        assert "may not decide here" in why_not(state, says("alice"))
        assert after(state, says("bob")).outcome == "approved"

    def test_nobody_may_edit_what_nobody_else_could_approve_then(self) -> None:
        state = approval(CFO, bars_editor=True)
        assert "too few others are asked" in why_not(state, says("cfo", edits={"amount": 5}))
        assert after(state, says("cfo")).outcome == "approved"

    def test_an_operator_who_amended_what_is_asked_about_is_its_editor(self) -> None:
        state = approval(FINANCE, bars_editor=True, editor="user:alice")
        assert "may not decide here" in why_not(state, says("alice"))

    @pytest.mark.parametrize("verb", ["reject", "comment", "claim", "delegate"])
    def test_they_go_with_an_approval_only(self, verb: str) -> None:
        assert "edits go with approve" in why_not(approval(FINANCE), says("bob", verb, edits={"amount": 5}))


class TestWithdrawing:
    def test_takes_ones_vote_back_and_opens_its_stage_again(self) -> None:
        state = after(approval(FINANCE, CFO), says("alice"))
        assert state.stage == 1
        state = after(state, says("alice", "withdraw"))
        assert (state.stage, state.votes) == (0, ())
        assert after(state, says("bob"), says("cfo")).outcome == "approved"

    def test_leaves_what_others_said(self) -> None:
        three = Stage(all_of=("user:alice", "user:bob", "user:cfo"))
        state = after(approval(three), says("alice"), says("bob"), says("alice", "withdraw"))
        assert [vote.by for vote in state.votes] == ["user:bob"]

    def test_of_what_one_has_not_said_is_refused(self) -> None:
        assert "decided nothing here" in why_not(approval(FINANCE), says("alice", "withdraw"))


class TestClaims:
    def test_one_keeps_others_out_until_it_lapses(self) -> None:
        state = after(approval(FINANCE), says("alice", "claim"))
        for verb in ("approve", "claim"):
            refused = why_not(state, says("bob", verb))
            assert refused == "it is claimed by user:alice since 2026-11-23 12:00 UTC, until 2026-11-23 13:00 UTC"
        assert "is claimed by" in why_not(state, says("bob", "reject", comment="no"))
        assert candidates(state, NOW) == ("user:alice",)
        assert candidates(state, LATER) == ("user:alice", "user:bob")
        assert after(state, says("bob"), at=LATER).outcome == "approved"
        assert after(state, says("alice")).outcome == "approved"

    def test_one_of_two_seats_leaves_the_other(self) -> None:
        state = after(approval(BOTH), says("alice", "claim"), says("bob"))
        assert after(state, says("alice")).outcome == "approved"

    def test_only_the_claimant_gives_it_back(self) -> None:
        state = after(approval(FINANCE), says("alice", "claim"))
        assert "has not claimed it; it is claimed by user:alice" in why_not(state, says("bob", "release"))
        state = after(state, says("alice", "release"))
        assert after(state, says("bob")).outcome == "approved"


class TestDelegation:
    def test_hands_ones_say_to_somebody_who_was_not_asked(self) -> None:
        state = after(approval(Stage(any_of=("user:alice",))), says("alice", "delegate", to="dan"))
        assert candidates(state, NOW) == ("user:dan",)
        assert "handed the decision to user:dan" in why_not(state, says("alice"))
        state = after(state, says("dan"))
        assert state.outcome == "approved"
        assert [(vote.by, vote.for_) for vote in state.votes] == [("user:dan", "user:alice")]

    def test_can_be_taken_back(self) -> None:
        state = after(approval(Stage(any_of=("user:alice",))), says("alice", "delegate", to="dan"))
        state = after(state, says("alice", "withdraw"))
        assert "not asked" in why_not(state, says("dan"))
        assert after(state, says("alice")).outcome == "approved"

    def test_takes_the_vote_back_that_was_given_in_ones_place(self) -> None:
        state = after(approval(BOTH), says("alice", "delegate", to="dan"), says("dan"))
        state = after(state, says("alice", "withdraw"))
        assert state.votes == ()
        assert after(state, says("bob"), says("alice")).outcome == "approved"

    @pytest.mark.parametrize(
        ("by", "to", "reason"),
        [
            ("alice", "alice", "has the decision already"),
            ("alice", "eve", "may not decide here (not_by)"),
            ("alice", "bob", "has had their part already"),
            ("alice", "group:finance", "is no user"),
            ("mallory", "dan", "not asked"),
            ("dan", "fred", "only they can hand that over"),
            ("alice", "carol", "has handed the decision on to user:dan"),
        ],
    )
    def test_is_bounded(self, by: str, to: str, reason: str) -> None:
        asked = Stage(any_of=("group:finance", "group:controllers"), count=3)
        state = after(approval(asked, not_by=("user:eve",)), says("bob"), says("carol", "delegate", to="dan"))
        assert reason in why_not(state, says(by, "delegate", to=to))

    def test_to_somebody_who_is_asked_too_is_refused_when_too_few_people_would_be_left(self) -> None:
        assert "too few different people" in why_not(approval(BOTH), says("alice", "delegate", to="bob"))
        assert why_not(approval(FINANCE), says("alice", "delegate", to="bob")) == ""

    def test_can_be_narrowed_by_the_process(self) -> None:
        assert "(nobody)" in why_not(approval(FINANCE, delegates=()), says("alice", "delegate", to="dan"))
        narrow = approval(FINANCE, delegates=("user:carol",))
        assert "not among those" in why_not(narrow, says("alice", "delegate", to="dan"))
        assert why_not(narrow, says("alice", "delegate", to="carol")) == ""

    def test_says_to_whom(self) -> None:
        assert "say to whom" in why_not(approval(FINANCE), says("alice", "delegate"))


class TestDeputies:
    def test_fill_the_seat_of_somebody_who_is_away(self) -> None:
        state = approval(CFO, deputies=deputy("cfo", "dan", until=LATER, why="away"))
        assert candidates(state, NOW) == ("user:cfo", "user:dan")
        assert "not asked" in why_not(state, says("dan"), LATER)
        state = after(state, says("dan"))
        assert (state.outcome, state.votes[0].for_) == ("approved", "user:cfo")

    def test_one_who_is_asked_too_counts_once(self) -> None:
        state = after(approval(BOTH, deputies=deputy("alice", "bob")), says("bob"))
        assert state.votes[0].for_ is None
        assert "decided already" in why_not(state, says("bob"))
        assert after(state, says("alice")).outcome == "approved"

    def test_the_absent_one_has_decided_with_their_deputy(self) -> None:
        state = after(approval(BOTH, deputies=deputy("alice", "dan")), says("dan"))
        assert "decided already (approve by user:dan for user:alice" in why_not(state, says("alice"))

    def test_of_two_one_decides(self) -> None:
        both = {"user:cfo": (Deputy(user="user:dan"), Deputy(user="user:carol"))}
        state = after(approval(Stage(all_of=("user:cfo", "user:alice")), deputies=both), says("dan"))
        assert "had their part already" in why_not(state, says("carol"))

    @pytest.mark.parametrize(
        ("not_by", "reason"),
        [
            ("user:alice", "in the place of user:alice, who may not decide here"),
            ("user:dan", "user:dan may not decide"),
        ],
    )
    def test_four_eyes_hold_for_them_and_for_those_they_act_for(self, not_by: str, reason: str) -> None:
        state = approval(FINANCE, not_by=(not_by,), deputies=deputy("alice", "dan"))
        assert reason in why_not(state, says("dan"))
        assert "user:dan" not in candidates(state, NOW)

    def test_do_not_act_for_somebody_who_handed_their_say_on(self) -> None:
        state = after(approval(CFO, deputies=deputy("cfo", "dan")), says("cfo", "delegate", to="carol"))
        assert candidates(state, NOW) == ("user:carol",)

    def test_cannot_hand_on_what_is_not_theirs(self) -> None:
        state = approval(CFO, deputies=deputy("cfo", "dan"))
        assert "only they can hand that over" in why_not(state, says("dan", "delegate", to="bob"))

    def test_do_not_take_a_second_seat_for_somebody_who_has_claimed_one(self) -> None:
        state = after(approval(BOTH, deputies=deputy("alice", "dan")), says("alice", "claim"))
        assert "user:dan" not in candidates(state, NOW)


class TestComments:
    def test_are_of_those_who_are_asked_or_were(self) -> None:
        state = after(approval(FINANCE, CFO), says("alice"), says("bob", "comment", comment="looks fine"))
        assert [(said.by, said.text) for said in state.comments] == [("user:bob", "looks fine")]
        assert "not asked" in why_not(state, says("mallory", "comment", comment="hello"))
        assert "needs its text" in why_not(state, says("bob", "comment"))
