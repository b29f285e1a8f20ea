"""How what a link leads to stands: whether its person can decide now, and what holds when not. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contracts.ballot import Vote
from contracts.base import Json
from contracts.decisions import Receipt, subject_hash
from contracts.run import ENDED, RunView, StepView, Waiting
from runtime.links import Link

State = Literal["open", "not_now", "used", "changed", "decided", "ended", "expired"]


@dataclass(frozen=True)
class Standing:
    """`waiting`: the approval while it is open. `headline`, `words`: what to tell the person."""

    state: State
    link: Link
    view: RunView
    waiting: Waiting | None
    headline: str = ""
    words: str = ""

    @property
    def title(self) -> str:
        """The question, unless the link may not show it any more."""
        step = _step_of(self.link, self.view)
        if self.waiting is not None:
            return self.waiting.title
        return step.title if step is not None and self.state != "expired" else self.link.step

    @property
    def arguments(self) -> dict[str, Json] | None:
        """What the person may change: the arguments of the call that is decided on, as they are by now."""
        if self.waiting is None or not isinstance(self.waiting.subject, dict):
            return None
        asked = self.waiting.subject.get("arguments")
        now = asked if self.waiting.edits is None else self.waiting.edits
        return now if isinstance(asked, dict) and isinstance(now, dict) else None

    @property
    def exact(self) -> dict[str, Json]:
        """Exactly what is decided on; its SHA-256 as canonical JSON is the hash, unless it was edited meanwhile."""
        waiting = self.waiting
        if waiting is None:
            return {}
        said = {"run": self.view.run, "step": waiting.step, "title": waiting.title, "show": waiting.show}
        edits = {} if waiting.edits is None else {"edits": waiting.edits}
        return {**said, **(waiting.subject or {}), **edits}

    @property
    def is_whole(self) -> bool:
        """Whether the hash is of `exact` as it stands."""
        return self.waiting is not None and subject_hash(self.exact) == self.waiting.hash


def standing(link: Link, view: RunView, receipt: Receipt | None, now: datetime) -> Standing:
    step = _step_of(link, view)
    asked = (each for each in view.waiting if each.kind == "approval" and each.step == link.step)
    waiting = next(asked, None)
    outcome = _outcome(view, step, waiting)
    if receipt is not None:
        return Standing("used", link, view, waiting, *_used(link, waiting, receipt, outcome))
    if link.has_expired(now):
        words = f"It was good until {moment(link.expires)}. {outcome} {_another(link)}"
        return Standing("expired", link, view, None, "This link has expired", words)
    if waiting is None:
        if view.status in ENDED and not _was_decided(step):
            return Standing("ended", link, view, None, "This run has ended", f"{outcome} There is nothing to decide.")
        return Standing("decided", link, view, None, "This is decided already", outcome)
    if waiting.hash != link.hash:
        words = (
            f"What this link was made for (hash {link.hash[:12]}) is not what is asked now (hash "
            f"{(waiting.hash or '')[:12]}). Below is what is asked now; this link cannot decide on it. {_another(link)}"
        )
        return Standing("changed", link, view, waiting, "What is decided on has changed", words)
    if link.person not in waiting.people:
        return Standing("not_now", link, view, waiting, *_not_now(link, waiting))
    return Standing("open", link, view, waiting)


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _another(link: Link) -> str:
    return (
        "Ask whoever sent it for another; an operator makes one with "
        f"`starter.py link {link.run} {link.step} --for {link.person}`."
    )


def _step_of(link: Link, view: RunView) -> StepView | None:
    return next((step for step in view.steps if step.id == link.step), None)


def _used(link: Link, waiting: Waiting | None, receipt: Receipt, outcome: str) -> tuple[str, str]:
    """What the run answered, and what holds since then."""
    said = _sentence(receipt.outcome)
    if waiting is not None and not any(link.person in vote.people for vote in waiting.votes):
        return "Your decision was taken", f"{said} No vote of yours stands now. {outcome}"
    if receipt.outcome in outcome or (waiting is not None and _more(waiting) in receipt.outcome):
        return "Your decision counts", said
    return "Your decision counts", f"{said} {outcome}"


def _not_now(link: Link, waiting: Waiting) -> tuple[str, str]:
    if voted := next((vote for vote in waiting.votes if link.person in vote.people), None):
        return "You have decided already", f"{_vote(voted)} It waits for {_asked(waiting)}."
    return "Your decision does not count now", f"It waits for {_asked(waiting)}. Nothing needs to be done here."


def _more(waiting: Waiting) -> str:
    return f"{waiting.needed} more of {', '.join(waiting.who)}"


def _asked(waiting: Waiting) -> str:
    people = f" ({', '.join(waiting.people)})" if waiting.people and set(waiting.people) != set(waiting.who) else ""
    return f"{', '.join(waiting.who)}{people}"


def _vote(vote: Vote) -> str:
    place = f" for {vote.for_}" if vote.for_ else ""
    said = f": {vote.comment}" if vote.comment else ""
    return f"{vote.decision} by {vote.by}{place}, {moment(vote.at)}{said}."


def _was_decided(step: StepView | None) -> bool:
    return step is not None and (step.by is not None or isinstance(_decision(step), str))


def _decision(step: StepView) -> Json:
    return step.output.get("decision") if isinstance(step.output, dict) else None


def _outcome(view: RunView, step: StepView | None, waiting: Waiting | None) -> str:
    """What holds so far, in a sentence."""
    if waiting is not None:
        return f"It is open, and waits for {_more(waiting)}."
    words = []
    if step is not None:
        said, by = _decision(step), f" by {step.by}" if step.by else ""
        decided = {"approve": "approved", "reject": "rejected"}.get(said) if isinstance(said, str) else None
        comment = step.output.get("comment") if isinstance(step.output, dict) else None
        why = f": {comment}" if decided and comment else f": {step.error.message}" if step.error else ""
        words.append(f"{step.id} is {decided or step.status}{by}{why}.")
    if view.status in ENDED:
        words.append(f"The run is {view.status}.")
    return " ".join(words) or f"Run {view.run} is {view.status}."


def _sentence(text: str) -> str:
    """`counted; sign_off waits` as a sentence; the name of a step stays as it is."""
    first, _, rest = text.partition(";")
    start = f"{first.capitalize()};{rest}" if rest and " " not in first else text
    return start if start.endswith(".") else f"{start}."
