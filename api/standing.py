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
    def arguments(self) -> dict[str, Json] | None:
        """What the person may change: the arguments of the call that is decided on."""
        subject = self.waiting.subject if self.waiting else None
        arguments = subject.get("arguments") if isinstance(subject, dict) else None
        return arguments if isinstance(arguments, dict) else None

    @property
    def exact(self) -> dict[str, Json]:
        """Exactly what is decided on; its SHA-256 as canonical JSON is the hash, unless it was edited meanwhile."""
        if self.waiting is None:
            return {}
        said = {"run": self.view.run, "step": self.waiting.step, "title": self.waiting.title, "show": self.waiting.show}
        return {**said, **(self.waiting.subject or {})}

    @property
    def is_whole(self) -> bool:
        """Whether the hash is of `exact` as it stands."""
        return self.waiting is not None and subject_hash(self.exact) == self.waiting.hash


def standing(link: Link, view: RunView, receipt: Receipt | None, now: datetime) -> Standing:
    step = next((step for step in view.steps if step.id == link.step), None)
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


def _used(link: Link, waiting: Waiting | None, receipt: Receipt, outcome: str) -> tuple[str, str]:
    """What the run answered, and what holds since then."""
    if waiting is not None and not any(vote.by == link.person for vote in waiting.votes):
        words = f"It was withdrawn, or what is decided on was changed after it. {outcome} {_another(link)}"
        return "Your decision does not stand any more", words
    if receipt.outcome in outcome or (waiting is not None and _more(waiting) in receipt.outcome):
        return "Your decision counts", _sentence(receipt.outcome)
    return "Your decision counts", f"{_sentence(receipt.outcome)} {outcome}"


def _not_now(link: Link, waiting: Waiting) -> tuple[str, str]:
    if voted := next((vote for vote in waiting.votes if vote.by == link.person), None):
        return "You have decided already", f"{_vote(voted)} It waits for {_asked(waiting)}."
    return "Your decision does not count now", f"It waits for {_asked(waiting)}. Nothing needs to be done here."


def _more(waiting: Waiting) -> str:
    return f"{waiting.needed} more of {', '.join(waiting.who)}"


def _asked(waiting: Waiting) -> str:
    people = f" ({', '.join(waiting.people)})" if waiting.people and set(waiting.people) != set(waiting.who) else ""
    return f"{', '.join(waiting.who)}{people}"


def _vote(vote: Vote) -> str:
    said = f": {vote.comment}" if vote.comment else ""
    return f"{vote.decision} by {vote.by} at {moment(vote.at)}{said}."


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
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
