"""An open approval as it stands: who is asked, who has decided."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from contracts.base import Contract, Json


class Vote(Contract):
    by: str
    decision: Literal["approve", "reject"]
    comment: str = ""
    at: datetime
    stage: int = 0


class ApprovalState(Contract):
    """An open approval. `stages`: who may decide, groups resolved to users when it opened; `stage`: the open one."""

    title: str
    show: dict[str, Json]
    hash: str
    stages: tuple["OpenStage", ...]
    stage: int = 0
    not_by: tuple[str, ...] = ()
    votes: tuple[Vote, ...] = ()
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


class OpenStage(Contract):
    """Who may decide now: each name as written with the users it stood for when the approval opened.

    `needed`: how many different people must approve. With `everyone`, one for each name.
    """

    asked: dict[str, tuple[str, ...]]
    needed: int
    everyone: bool = False
