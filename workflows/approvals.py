"""The rules of an approval: what a decision needs to count, and what it does. Pure.

`steps/approval.py` does the waiting. Who may decide is in `electorate.py`, how approvals fill the seats in `seats.py`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from contracts.ballot import ApprovalState, Claim, Comment, Delegation, Vote
from contracts.base import Json
from contracts.decisions import Decision, subject_hash
from workflows.electorate import (
    choice,
    delegation_of,
    has_part,
    in_words,
    is_reachable,
    live_claims,
    rights,
    voices,
)
from workflows.seats import Seating

MAX_COMMENTS = 50
"""Comments that an approval shows; the record has all."""


def refusal(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    """Why this decision does not count, with what holds instead; None when it counts."""
    if decision.hash is not None and decision.hash != state.hash:
        return (
            f"what is decided on has changed since you looked: you decided on {decision.hash[:12]}, "
            f"it is now {state.hash[:12]}; look at it again and decide anew"
        )
    if decision.hash is None and state.needs_hash and decision.decision in ("approve", "reject"):
        return "the process wants each vote to name the hash of what it is about; look at it, and send its `hash` along"
    if decision.edits is not None and decision.decision != "approve":
        return f"edits go with approve, not with {decision.decision}"
    if (decision.to is not None) != (decision.decision == "delegate"):
        return "say to whom (`to`)" if decision.to is None else f"`to` goes with delegate, not with {decision.decision}"
    return _REFUSALS[decision.decision](state, decision, at)


def decide(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    """The approval after a decision that `refusal` let through, with its outcome when that settled it."""
    return _EFFECTS[decision.decision](state, decision, at)


def lapsed(state: ApprovalState, on_expiry: Literal["approve", "reject"]) -> ApprovalState:
    """The approval once its time is over. Silence never agrees to what somebody wrote who may not (not_by: editor)."""
    agrees = on_expiry == "approve" and not (state.bars_editor and state.edits is not None)
    return state.model_copy(update={"outcome": "approved" if agrees else "rejected"})


def decider(state: ApprovalState) -> Vote | None:
    """Whose vote settled it; None when time did, or nobody has yet."""
    last = state.votes[-1] if state.votes else None
    is_settled = {
        "approved": Seating.of(state).missing == 0,
        "rejected": last is not None and last.decision == "reject",
        None: False,
    }
    return last if is_settled[state.outcome] else None


# Why not


def _refuse_vote(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    if reason := _no_say(state, decision.by, at):
        return reason
    if decision.decision == "reject" and not decision.comment.strip():
        return "a rejection needs a reason; give it as the comment"
    if choice(state, decision.by, at) is None:
        seating = Seating.of(state)
        if any(seating.has_room_for(voice) for voice in voices(state, decision.by, at)):
            return _claimed(state, at)
        if decision.decision == "approve" and decision.edits is None:
            return _not_needed(state, decision.by)
    if (
        decision.edits is not None
        and state.bars_editor
        and not is_reachable(edited(state, decision.edits, decision.by))
    ):
        return (
            f"{decision.by} could not approve it after having changed it (not_by: editor), and too few others are "
            "asked; approve or reject it as it is"
        )
    return None


def _refuse_claim(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    if reason := _no_say(state, decision.by, at):
        return reason
    if choice(state, decision.by, at) is None:
        return _claimed(state, at) if live_claims(state, at) else _not_needed(state, decision.by)
    return None


def _refuse_release(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    if not live_claims(state, at):
        return f"{decision.by} has not claimed it, nor has anybody else"
    if lifted(state, decision, at) and not decision.comment.strip():
        return (
            f"{decision.by} has not claimed it; {_claimed(state, at)}; an operator, and whoever it escalates to, can "
            "lift that with a reason, as the comment"
        )
    return None


def lifted(state: ApprovalState, decision: Decision, at: datetime) -> tuple[Claim, ...]:
    """The claims of others that a release lifts: all of them, when it is by somebody who has none."""
    claims = live_claims(state, at)
    return () if any(claim.by == decision.by for claim in claims) else claims


def _refuse_delegation(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    by, to = decision.by, decision.to or ""
    if reason := _no_say(state, by, at):
        return reason
    if by not in voices(state, by, at):
        return f"{by} decides in the place of {', '.join(voices(state, by, at))}; only they can hand that over"
    if to == by:
        return f"{by} has the decision already; hand it to somebody else, or decide"
    if reason := _unfit(state, to):
        return f"{reason}; hand it to somebody else"
    if not is_reachable(_delegate(state, decision, at)):
        return f"{to} is asked as well and decides once, so that too few different people would be left"
    return None


def _unfit(state: ApprovalState, to: str) -> str | None:
    """Why nobody can hand their say to this one."""
    if not to.startswith("user:"):
        return f"{to} is no user, such as user:alice"
    if to in state.barred:
        return f"{to} may not decide here (not_by)"
    if vote := next((vote for vote in state.votes if to in vote.people), None):
        return f"{to} has had their part already ({_vote_in_words(vote)})"
    if handed := delegation_of(state, to):
        return f"{to} has handed the decision on to {handed.to}"
    if state.delegates is not None and to not in state.delegates:
        allowed = ", ".join(state.delegates) or "nobody"
        return f"{to} is not among those to whom it can be handed ({allowed})"
    return None


def _refuse_withdrawal(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    if any(decision.by in vote.people for vote in state.votes) or delegation_of(state, decision.by) is not None:
        return None
    return f"{decision.by} has decided nothing here that could be withdrawn"


def _refuse_comment(state: ApprovalState, decision: Decision, at: datetime) -> str | None:
    if not decision.comment.strip():
        return "a comment needs its text"
    if has_part(state, decision.by, at):
        return None
    return f"{decision.by} is not asked; this is for {in_words(state.asked_now)}"


def _no_say(state: ApprovalState, by: str, at: datetime) -> str | None:
    """Why somebody has no say now."""
    if voices(state, by, at):
        return None
    if vote := next((vote for vote in state.votes if by in vote.people), None):
        return f"{by} decided already ({_vote_in_words(vote)})"
    if handed := delegation_of(state, by):
        return f"{by} handed the decision to {handed.to}; withdraw that first"
    held = tuple(rights(state, by, at))
    if not held:
        return f"{by} is not asked; this is for {in_words(state.asked_now)}"
    if by in state.barred:
        return f"{by} may not decide here (not_by); somebody else of {in_words(state.asked_now)} must"
    barred = [voice for voice in held if voice in state.barred]
    why = "may not decide here (not_by)" if barred else "had their part already"
    return f"{by} would decide in the place of {', '.join(barred or held)}, who {why}"


def _claimed(state: ApprovalState, at: datetime) -> str:
    claims = (f"{claim.by} since {_moment(claim.at)}, until {_moment(claim.until)}" for claim in live_claims(state, at))
    return f"it is claimed by {'; '.join(claims)}"


def _not_needed(state: ApprovalState, by: str) -> str:
    votes = ", ".join(_vote_in_words(vote) for vote in state.votes)
    return f"the approval of {by} is not needed any more ({votes}); it waits for others of {in_words(state.asked_now)}"


def _vote_in_words(vote: Vote) -> str:
    place = f" for {vote.for_}" if vote.for_ else ""
    return f"{vote.decision} by {vote.by}{place}, {_moment(vote.at)}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


# What it does


def _vote(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    by = decision.by
    if decision.edits is not None:
        state = edited(state, decision.edits, by)
    voice = choice(state, by, at)
    if voice is None:
        if decision.decision == "approve":
            return state  # Who edits what is no longer theirs to approve has changed it all the same.
        voice = voices(state, by, at)[0]
    vote = Vote(
        by=by,
        decision=decision.decision,
        comment=decision.comment,
        at=at,
        stage=state.stage,
        for_=None if voice == by else voice,
    )
    claims = tuple(claim for claim in state.claims if claim.by != by)
    state = state.model_copy(update={"votes": (*state.votes, vote), "claims": claims})
    if decision.decision == "reject":
        return state.model_copy(update={"outcome": "rejected"})
    return _advanced(state)


def _advanced(state: ApprovalState) -> ApprovalState:
    """With the next stage open, or approved, when what is open is satisfied."""
    while Seating.of(state).missing == 0:
        if state.side_by_side or state.stage + 1 == len(state.stages):
            return state.model_copy(update={"outcome": "approved"})
        state = state.model_copy(update={"stage": state.stage + 1})
    return state


def edited(state: ApprovalState, edits: Json, by: str) -> ApprovalState:
    """The approval of what was edited: what earlier voters agreed to is no longer what is decided on."""
    changed = subject_hash({"was": state.hash, "edits": edits})
    changes = {"edits": edits, "hash": changed, "editor": by, "stage": 0, "votes": (), "claims": ()}
    return state.model_copy(update=changes)


def _withdraw(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    """Without what was said by somebody or in their place; the stage in which that was is open again."""
    by = decision.by
    votes = tuple(vote for vote in state.votes if by not in vote.people)
    gone = [vote.stage for vote in state.votes if by in vote.people]
    delegations = tuple(handed for handed in state.delegations if handed.by != by)
    return state.model_copy(update={"votes": votes, "stage": min((state.stage, *gone)), "delegations": delegations})


def _claim(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    voice = choice(state, decision.by, at)
    others = tuple(claim for claim in state.claims if claim.by != decision.by)
    made = Claim(by=decision.by, at=at, until=at + state.claim_for, for_=None if voice == decision.by else voice)
    return state.model_copy(update={"claims": (*others, made)})


def _release(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    gone = {decision.by, *(claim.by for claim in lifted(state, decision, at))}
    return state.model_copy(update={"claims": tuple(claim for claim in state.claims if claim.by not in gone)})


def _delegate(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    made = Delegation(by=decision.by, to=decision.to or "", at=at, comment=decision.comment)
    return state.model_copy(update={"delegations": (*state.delegations, made)})


def _comment(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    made = Comment(by=decision.by, text=decision.comment, at=at)
    return state.model_copy(update={"comments": (*state.comments, made)[-MAX_COMMENTS:]})


_REFUSALS: dict[str, Callable[[ApprovalState, Decision, datetime], str | None]] = {
    "approve": _refuse_vote,
    "reject": _refuse_vote,
    "withdraw": _refuse_withdrawal,
    "claim": _refuse_claim,
    "release": _refuse_release,
    "delegate": _refuse_delegation,
    "comment": _refuse_comment,
}
_EFFECTS: dict[str, Callable[[ApprovalState, Decision, datetime], ApprovalState]] = {
    "approve": _vote,
    "reject": _vote,
    "withdraw": _withdraw,
    "claim": _claim,
    "release": _release,
    "delegate": _delegate,
    "comment": _comment,
}
