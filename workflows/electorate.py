"""Who may decide an approval, now and in whose place. Pure.

A *voice* is the say of somebody who is asked. They use it themselves; while they are away their deputy may; or somebody
they handed it to. Everybody has their part in an approval once: with their own voice or with another's.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from contracts.approval import EDITOR, STARTER, Approve, Stage
from contracts.ballot import ApprovalState, Claim, Delegation, OpenStage
from contracts.errors import StepError
from workflows.seats import Seating, seats_of

Users = Mapping[str, tuple[str, ...]]
"""For each name as written (`group:finance`), the users it stands for."""


def names_to_resolve(approval: Approve, stages: Iterable[Stage]) -> tuple[str, ...]:
    """Every user and group an approval can involve, sorted; starter and editor are known to the run itself."""
    names = {name for stage in stages for name in (*(stage.any_of or ()), *(stage.all_of or ()))}
    names.update(approval.not_by)
    names.update(approval.delegate or ())
    if approval.escalate:
        names.update(approval.escalate.to)
    return tuple(sorted(names - {STARTER, EDITOR}))


def resolved(stages: Iterable[Stage], users: Users) -> tuple[OpenStage, ...]:
    """The stages with the people of today."""
    return tuple(
        OpenStage(
            asked={name: users[name] for name in stage.all_of or stage.any_of or ()},
            needed=len(stage.all_of) if stage.all_of else stage.count or 1,
            everyone=stage.all_of is not None,
        )
        for stage in stages
    )


def check_reachable(state: ApprovalState) -> None:
    """Raises:
    StepError: an approval needs more different people than may decide it, whoever is brought in later.
    """
    for number, stage in enumerate(state.stages, start=1):
        if (possible := _possible(state, (stage,))) < stage.needed:
            raise StepError(_too_few(f"stage {number} needs", stage.needed, stage.asked, state, possible))
    needed = sum(stage.needed for stage in state.stages)
    if (possible := _possible(state, state.stages)) < needed:
        asked = {name: users for stage in state.stages for name, users in stage.asked.items()}
        raise StepError(_too_few("all stages together need", needed, asked, state, possible))


def is_reachable(state: ApprovalState) -> bool:
    """Whether enough different people may decide it, those who have included."""
    return _possible(state, state.stages) >= sum(stage.needed for stage in state.stages)


def _possible(state: ApprovalState, stages: Iterable[OpenStage]) -> int:
    """How many seats different people can fill at most. Of two voices that one person has to use, one counts."""
    escalated = [user for users in state.escalate_to.values() for user in users]
    stages = tuple(stages)
    asked = (user for stage in stages for users in stage.asked.values() for user in users)
    used_by: dict[str, str] = {}
    for user in dict.fromkeys((*asked, *escalated)):
        handed = delegation_of(state, user)
        by = handed.to if handed is not None else user
        if not state.barred & {user, by}:
            used_by.setdefault(by, user)
    return Seating(seats_of(stages, escalated), used_by.values()).filled


def _too_few(what: str, needed: int, asked: Users, state: ApprovalState, possible: int) -> str:
    barred = sorted(state.barred & {user for users in asked.values() for user in users})
    without = f" without {', '.join(barred)}, who may not decide (not_by)" if barred else ""
    return (
        f"{what} {needed} different people, but {', '.join(asked)} are only {possible}{without}; "
        "mend the people directory or the approval, then retry"
    )


def voices(state: ApprovalState, by: str, at: datetime) -> tuple[str, ...]:
    """Whose say somebody may use at this time, their own first."""
    spent = {*state.barred, *(user for vote in state.votes for user in vote.people)}
    return () if by in spent else tuple(voice for voice in rights(state, by, at) if voice not in spent)


def rights(state: ApprovalState, by: str, at: datetime) -> Iterator[str]:
    """The voices that somebody has a right to, used or not, barred or not."""
    if _is_asked(state, by) and delegation_of(state, by) is None:
        yield by
    for handed in state.delegations:
        if handed.to == by and _is_asked(state, handed.by):
            yield handed.by
    for user, deputies in state.deputies.items():
        acts = any(deputy.user == by and deputy.acts(at) for deputy in deputies)
        if acts and delegation_of(state, user) is None and _is_asked(state, user):
            yield user


def has_part(state: ApprovalState, by: str, at: datetime) -> bool:
    """Whether somebody is asked, or was: in an open stage or one before, in anybody's place, by having decided."""
    before = state.stages if state.side_by_side else state.stages[: state.stage]
    return (
        any(by in users for stage in before for users in stage.asked.values())
        or next(rights(state, by, at), None) is not None
        or any(by in vote.people for vote in state.votes)
        or delegation_of(state, by) is not None
    )


def choice(state: ApprovalState, by: str, at: datetime) -> str | None:
    """The voice with which somebody's approval, or claim, would fill a seat that nobody else fills or keeps."""
    others = [claim.voice for claim in live_claims(state, at) if claim.by != by]
    return _chosen(state, Seating.of(state, *others), others, by, at)


def _chosen(state: ApprovalState, seating: Seating, claimed: Iterable[str], by: str, at: datetime) -> str | None:
    free = (voice for voice in voices(state, by, at) if voice not in claimed)
    return next((voice for voice in free if seating.has_room_for(voice)), None)


def candidates(state: ApprovalState, at: datetime) -> tuple[str, ...]:
    """The users whose approval would count now: those who are asked, then those in their place."""
    claims = live_claims(state, at)
    claimants = {claim.by for claim in claims}
    claimed = [claim.voice for claim in claims]
    seating = Seating.of(state, *claimed)

    def counts(user: str) -> bool:
        found = choice(state, user, at) if user in claimants else _chosen(state, seating, claimed, user, at)
        return found is not None

    in_their_place = (*(handed.to for handed in state.delegations), *acting_deputies(state, at))
    return tuple(user for user in dict.fromkeys((*_asked_users(state), *in_their_place)) if counts(user))


def acting_deputies(state: ApprovalState, at: datetime) -> dict[str, tuple[str, ...]]:
    """For each deputy who may act now, for whom."""
    acting: dict[str, tuple[str, ...]] = {}
    for user, deputies in state.deputies.items():
        if user not in state.barred and delegation_of(state, user) is None and _is_asked(state, user):
            for deputy in deputies:
                if deputy.acts(at) and deputy.user not in state.barred:
                    acting[deputy.user] = (*acting.get(deputy.user, ()), user)
    return acting


def live_claims(state: ApprovalState, at: datetime) -> tuple[Claim, ...]:
    """Claims that have not lapsed, of those who still can decide."""
    return tuple(claim for claim in state.claims if at < claim.until and claim.voice in voices(state, claim.by, at))


def delegation_of(state: ApprovalState, user: str) -> Delegation | None:
    """To whom somebody handed their say."""
    return next((handed for handed in state.delegations if handed.by == user), None)


def in_words(asked: Users) -> str:
    return ", ".join(f"{name} ({', '.join(users)})" if users != (name,) else name for name, users in asked.items())


def _is_asked(state: ApprovalState, user: str) -> bool:
    return any(user in users for users in state.asked_now.values())


def _asked_users(state: ApprovalState) -> Iterator[str]:
    yield from dict.fromkeys(user for users in state.asked_now.values() for user in users)
