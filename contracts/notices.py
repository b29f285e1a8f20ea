"""Notices: what people are told of a run, by which channel, and what became of it."""

import hashlib
from datetime import datetime, timedelta
from typing import Literal, Protocol

from contracts.ballot import Comment, Vote
from contracts.base import Contract, Json
from contracts.channels import NoticeKind
from contracts.incidents import Incident


class Question(Contract):
    """What people are asked, as it stood then. `who`: as written; `people`: whose decision would count. `edits`: what
    it is about instead of what is shown, since somebody edited it. `comments`: the last ones."""

    show: dict[str, Json] = {}
    edits: Json = None
    hash: str
    who: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    votes: tuple[Vote, ...] = ()
    comments: tuple[Comment, ...] = ()
    since: datetime
    until: datetime | None = None


class SendNotice(Contract):
    """Tell people of event `number` of a run by one channel.

    Args:
        run, execution: the workflow id, and the id of its first execution, which tells one that is used again apart.
        by, reason, data: of the event.
        to: the people concerned: users, groups and roles.
        title: what the step is about.
        started_by: whom `starter` means.
        question: of an approval. incident: of a step that is parked.
        last: what fails now is not tried again, and becomes a dead letter.
    """

    channel: str
    run: str
    execution: str
    process: str
    number: int
    kind: NoticeKind
    at: datetime
    step: str
    by: str
    reason: str = ""
    data: dict[str, Json] = {}
    to: tuple[str, ...] = ()
    title: str
    started_by: str | None = None
    question: Question | None = None
    incident: Incident | None = None
    last: bool = False

    def id_for(self, recipient: str) -> str:
        """The same through retries, restarts and continue-as-new; for another event, channel or person another one.
        A run that was reset makes other events of the same numbers at other times."""
        parts = "\n".join((self.run, self.execution, str(self.number), self.at.isoformat(), self.channel, recipient))
        return f"notice_{hashlib.sha256(parts.encode()).hexdigest()[:32]}"


class Sent(Contract):
    """`told`: who got it, now or before. `unreachable`: people whom the channel has no address of."""

    told: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


UNDELIVERED = "NoticeUndelivered"
"""The type of the activity's failure that trying again will not mend; what it names is a dead letter."""


class Undelivered(Exception):
    """A message did not get through. `final`: nor will it. `after`: no sooner than then, as the receiver said."""

    def __init__(self, message: str, *, final: bool = False, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.final = final
        self.after = after


LetterState = Literal["trying", "delivered", "dead"]


class Letter(Contract):
    """A message to one recipient, as the records database has it. `recipient`: a user, an address, or empty for
    whoever reads the channel."""

    id: str
    channel: str
    recipient: str
    run: str
    number: int
    kind: str
    state: LetterState
    attempts: int = 0
    error: str = ""
    changed: datetime


class NoticeDesk(Protocol):
    """What operators do about messages. All raise RecordsUnavailable."""

    async def letters(self, *, dead: bool = False, run: str | None = None, limit: int = 200) -> list[Letter]:
        """The last ones, newest first; with `dead` only those that nobody tries to deliver any more."""
        ...

    async def resend(self, identity: str) -> None:
        """Try a message again that was not delivered.

        Raises:
            CallerError: there is no such message, or a setting does not hold.
            Undelivered: it failed again.
        """
        ...
