"""An open approval as it stands: who is asked, who has decided, who keeps it, what was said."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from contracts.base import Contract, Duration, Json
from contracts.people import Deputy


class Vote(Contract):
    """What somebody decided. `for`: in whose place, as their deputy or because they handed it over."""

    by: str
    decision: Literal["approve", "reject"]
    comment: str = ""
    at: datetime
    stage: int = 0
    for_: str | None = Field(default=None, alias="for")

    @property
    def voice(self) -> str:
        """Whose say it is."""
        return self.for_ or self.by

    @property
    def people(self) -> tuple[str, ...]:
        """Who has had their part in the approval with it."""
        return (self.by,) if self.for_ is None else (self.by, self.for_)


class Claim(Contract):
    """Somebody keeps the decision for themselves, until it lapses. `for`: as of a vote."""

    by: str
    at: datetime
    until: datetime
    for_: str | None = Field(default=None, alias="for")

    @property
    def voice(self) -> str:
        return self.for_ or self.by


class Delegation(Contract):
    """Somebody who is asked handed their say to somebody else."""

    by: str
    to: str
    at: datetime
    comment: str = ""


class Comment(Contract):
    """What somebody said about it without deciding."""

    by: str
    text: str
    at: datetime


class OpenStage(Contract):
    """Who may decide now: each name as written with the users it stood for when the approval opened.

    `needed`: how many different people must approve. With `everyone`, one for each name.
    """

    asked: dict[str, tuple[str, ...]]
    needed: int
    everyone: bool = False


class ApprovalState(Contract):
    """An open approval. `stages`: who may decide, groups resolved to users when it opened; `stage`: the open one, 0
    when all are open `side_by_side`.

    `not_by`: users who may not decide, nor anybody in their place; with `bars_editor` neither may the `editor`, who
    last changed what is decided on. `deputies`: for each user who is asked. `delegates`: to whom the say may be handed
    over, None: to anyone. `needs_hash`: a vote has to name the `hash`.
    """

    title: str
    show: dict[str, Json]
    hash: str
    needs_hash: bool = False
    stages: tuple[OpenStage, ...]
    stage: int = 0
    side_by_side: bool = False
    not_by: tuple[str, ...] = ()
    bars_editor: bool = False
    editor: str | None = None
    deputies: dict[str, tuple[Deputy, ...]] = {}
    delegates: tuple[str, ...] | None = None
    claim_for: Duration = timedelta(hours=1)
    votes: tuple[Vote, ...] = ()
    claims: tuple[Claim, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    comments: tuple[Comment, ...] = ()
    since: datetime
    remind_at: datetime | None = None
    reminded: int = 0
    escalate_at: datetime | None = None
    escalate_to: dict[str, tuple[str, ...]] = {}
    escalated: bool = False
    edits: Json = None
    outcome: Literal["approved", "rejected"] | None = None
    asked: str = Field(default="", description="hash of what was first asked, before any edits")
    subject: Json = Field(default=None, description="exactly what is decided on, and done once approved")

    @property
    def barred(self) -> frozenset[str]:
        """Who may not decide, nor anybody in their place."""
        editor = {self.editor} if self.bars_editor and self.editor is not None else set()
        return frozenset({*self.not_by, *editor})

    @property
    def open_stages(self) -> tuple[OpenStage, ...]:
        """The stages that are open at once."""
        return self.stages if self.side_by_side else (self.stages[self.stage],)

    @property
    def escalation(self) -> dict[str, tuple[str, ...]]:
        """Who was brought in by escalation; they may decide for anybody."""
        return self.escalate_to if self.escalated else {}

    @property
    def asked_now(self) -> dict[str, tuple[str, ...]]:
        """Who may decide now, as written, with the users each name stands for."""
        stages = {name: users for stage in self.open_stages for name, users in stage.asked.items()}
        return {**stages, **self.escalation}
