"""The rules of an approval: who may decide, what counts, when it is decided. Pure; `steps.py` does the waiting."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from contracts.approval import Approve, Stage
from contracts.ballot import ApprovalState, OpenStage, Vote
from contracts.base import Json
from contracts.decisions import Decision, subject_hash
from contracts.errors import StepError

Users = Mapping[str, tuple[str, ...]]
"""For each name as written (`group:finance`), the users it stands for."""


def names_to_resolve(approval: Approve, stages: Iterable[Stage]) -> tuple[str, ...]:
    """Every user and group an approval can involve, sorted; `starter` is known to the run itself."""
    names = {name for stage in stages for name in (*(stage.any_of or ()), *(stage.all_of or ()))}
    names.update(approval.not_by)
    if approval.escalate:
        names.update(approval.escalate.to)
    return tuple(sorted(names - {"starter"}))


def open_stages(stages: Iterable[Stage], users: Users) -> tuple[OpenStage, ...]:
    """The stages with the people of today.

    Raises:
        StepError: a stage needs more different people than there are.
    """
    opened: list[OpenStage] = []
    for number, stage in enumerate(stages, start=1):
        names = stage.all_of or stage.any_of or ()
        asked = {name: users[name] for name in names}
        needed = len(names) if stage.all_of else stage.count or 1
        people = {user for found in asked.values() for user in found}
        if needed > len(people):
            raise StepError(
                f"stage {number} needs {needed} different people, but {', '.join(names)} are only {len(people)}; "
                "mend the people directory or the approval, then retry"
            )
        opened.append(OpenStage(asked=asked, needed=needed, everyone=stage.all_of is not None))
    return tuple(opened)


def current_stage(state: ApprovalState) -> OpenStage:
    return state.stages[state.stage]


def deciders(state: ApprovalState) -> dict[str, tuple[str, ...]]:
    """Who may decide now, as written, with the users each name stands for."""
    return {**current_stage(state).asked, **(state.escalate_to if state.escalated else {})}


def candidates(state: ApprovalState) -> tuple[str, ...]:
    """The users whose decision would count now."""
    spent = {*state.not_by, *(vote.by for vote in state.votes)}
    people = dict.fromkeys(user for users in deciders(state).values() for user in users)
    return tuple(user for user in people if user not in spent)


def refusal(state: ApprovalState, decision: Decision) -> str | None:
    """Why this decision does not count, with what holds instead; None when it counts."""
    if decision.hash is not None and decision.hash != state.hash:
        return (
            f"what is decided on has changed since you looked: you decided on {decision.hash[:12]}, "
            f"it is now {state.hash[:12]}; look at it again and decide anew"
        )
    asked = deciders(state)
    if not any(decision.by in users for users in asked.values()):
        return f"{decision.by} is not asked; this is for {_people(asked)}"
    if decision.by in state.not_by:
        return f"{decision.by} may not decide here (not_by); somebody else of {_people(asked)} must"
    if voted := next((vote for vote in state.votes if vote.by == decision.by), None):
        return f"{decision.by} decided already ({voted.decision}, {voted.at:%Y-%m-%d %H:%M} UTC)"
    if decision.decision == "reject" and not decision.comment.strip():
        return "a rejection needs a reason; give it as the comment"
    return None


def count(state: ApprovalState, decision: Decision, at: datetime) -> ApprovalState:
    """The approval after a decision that `refusal` let through, with its outcome when that settled it."""
    if decision.edits is not None:
        state = edited(state, decision.edits)
        if not any(decision.by in users for users in deciders(state).values()):
            return state
    vote = Vote(by=decision.by, decision=decision.decision, comment=decision.comment, at=at, stage=state.stage)
    state = state.model_copy(update={"votes": (*state.votes, vote)})
    if decision.decision == "reject":
        return state.model_copy(update={"outcome": "rejected"})
    while _satisfied(state):
        if state.stage + 1 == len(state.stages):
            return state.model_copy(update={"outcome": "approved"})
        state = state.model_copy(update={"stage": state.stage + 1})
    return state


def edited(state: ApprovalState, edits: Json) -> ApprovalState:
    """The approval of what was edited: what earlier voters agreed to is no longer what is decided on."""
    new = subject_hash({"was": state.hash, "edits": edits})
    return state.model_copy(update={"edits": edits, "hash": new, "stage": 0, "votes": ()})


def missing(state: ApprovalState) -> int:
    """How many more people must approve in the open stage."""
    return max(0, current_stage(state).needed - _counted(state))


def _satisfied(state: ApprovalState) -> bool:
    return _counted(state) >= current_stage(state).needed


def _counted(state: ApprovalState) -> int:
    """Approvals that count for the open stage; one who was brought in by escalation counts for anybody."""
    votes = [vote.by for vote in state.votes if vote.decision == "approve" and vote.stage == state.stage]
    stage = current_stage(state)
    if not stage.everyone:
        return len(votes)
    return _matched(votes, [(*users, *_escalated(state)) for users in stage.asked.values()])


def _matched(votes: list[str], seats: list[tuple[str, ...]]) -> int:
    """How many seats different voters can fill: a maximum bipartite matching by augmenting paths (Kuhn)."""
    taken: dict[int, str] = {}

    def seat(voter: str, tried: set[int]) -> bool:
        for index, users in enumerate(seats):
            if voter in users and index not in tried:
                tried.add(index)
                if index not in taken or seat(taken[index], tried):
                    taken[index] = voter
                    return True
        return False

    return sum(seat(voter, set()) for voter in votes)


def _escalated(state: ApprovalState) -> tuple[str, ...]:
    return tuple(user for users in state.escalate_to.values() for user in users) if state.escalated else ()


def _people(asked: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name} ({', '.join(users)})" if users != (name,) else name for name, users in asked.items())
