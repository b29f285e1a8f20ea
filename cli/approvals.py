"""An approval that waits, for those who decide: the question, who must agree, what was said, what to type."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from cli.blocks import commands_text, facts, value_text
from cli.marks import Marks, moment, took
from cli.output import command
from contracts.ballot import Claim, Vote
from contracts.run import RunView, StageView, StepStatus, Waiting

SHORT_HASH = 12

_STAGE_AS: dict[str, StepStatus] = {"done": "completed", "open": "waiting", "later": "pending"}


def approval(
    view: RunView, waiting: Waiting, marks: Marks, now: datetime, *, live: bool = False, commands: bool = True
) -> RenderableType:
    """The question, what it is about, who must decide, and the commands that do."""
    title = Text.assemble(
        (f"{marks.icon('waiting')} ", "waiting"), (waiting.title, "bold"), (f"  {waiting.step}", "faint")
    )
    rows = facts(_rows(waiting, marks, now))
    if not commands:
        return Group(title, rows)
    return Group(title, rows, commands_text([(line, "") for line in deciding(view.run, waiting)], live=live))


def first_asked(waiting: Waiting) -> str:
    """Somebody whose decision would count now."""
    return next(iter(waiting.people), "user:NAME")


def deciding(run: str, waiting: Waiting, who: str | None = None) -> tuple[str, str]:
    """The commands that approve and reject."""
    words = (run, waiting.step, "--by", who or first_asked(waiting))
    return command("approve", *words), command("reject", *words, "--comment", "WHY")


def since_and_until(waiting: Waiting, now: datetime) -> str:
    return f"{took(waiting.since, now)} ago" + (f", expires {moment(waiting.until)}" if waiting.until else "")


def in_whose_place(waiting: Waiting, who: str) -> str:
    """For whom somebody would decide, as far as it is not for themselves."""
    handed = [
        f"{given.by} handed it to you" + _quoted(given.comment) for given in waiting.delegations if given.to == who
    ]
    absent = [f"you are the deputy of {user}" for user in waiting.deputies.get(who, ())]
    return "; ".join((*handed, *absent))


def _rows(waiting: Waiting, marks: Marks, now: datetime) -> Iterator[tuple[str, Text]]:
    for key, value in waiting.show.items():
        yield key, value_text(value)
    if waiting.edits is not None:
        yield "edited to", value_text(waiting.edits)
    yield from _people(waiting, marks)
    yield from said_so_far(waiting, now)
    yield "since", Text(since_and_until(waiting, now))
    if due := _due(waiting):
        yield "due", Text(due, style="faint")
    if waiting.hash:
        yield "hash", Text(waiting.hash[:SHORT_HASH], style="faint")


def _people(waiting: Waiting, marks: Marks) -> Iterator[tuple[str, Text]]:
    if len(waiting.stages) > 1:
        yield "stages", Text("\n".join(_stage(stage, marks) for stage in waiting.stages))
    more = f"; {waiting.needed} more needed" if waiting.needed > 1 or waiting.votes else ""
    yield "asked", Text(", ".join(waiting.who) + more, style="name")
    if waiting.barred:
        yield "not by", Text(", ".join(waiting.barred))
    places = [f"{given.to} for {given.by}{_quoted(given.comment)}" for given in waiting.delegations]
    places += [f"{deputy} for {', '.join(users)} (deputy)" for deputy, users in waiting.deputies.items()]
    if places:
        yield "in place", Text("\n".join(places))


def said_so_far(waiting: Waiting, now: datetime) -> Iterator[tuple[str, Text]]:
    """Votes, claims and comments, as far as there are any."""
    if waiting.votes:
        yield "votes", Text("\n".join(map(_vote, waiting.votes)))
    if claims := [claim for claim in waiting.claims if now < claim.until]:
        yield "claimed", Text("\n".join(_claim(claim, now) for claim in claims), style="attention")
    if waiting.comments:
        yield "comments", Text("\n".join(f"{said.by}: {said.text}" for said in waiting.comments))


def _stage(stage: StageView, marks: Marks) -> str:
    icon = marks.icon(_STAGE_AS[stage.status])
    by = f", approved by {', '.join(stage.approved)}" if stage.approved else ""
    return f"{icon} {stage.needed} of {', '.join(stage.who)}{by}"


def _vote(vote: Vote) -> str:
    place = f" for {vote.for_}" if vote.for_ else ""
    return f"{vote.decision} by {vote.by}{place}" + (f": {vote.comment}" if vote.comment else "")


def _claim(claim: Claim, now: datetime) -> str:
    place = f" for {claim.for_}" if claim.for_ else ""
    return f"by {claim.by}{place}, {took(claim.at, now)} ago, until {moment(claim.until)}"


def _due(waiting: Waiting) -> str:
    due = ((waiting.remind, "a reminder"), (waiting.escalate, "others are asked too"))
    return ", ".join(f"{what} {moment(at)}" for at, what in due if at is not None)


def _quoted(comment: str) -> str:
    return f': "{comment}"' if comment else ""
