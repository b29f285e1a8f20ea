"""Who people are, as the engine is told: the users a name stands for, and who acts for whom when."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from contracts.base import Contract

OPERATOR_ROLE = "role:operator"
"""Who may repair, pause, amend, note and cancel."""

ANYONE = "anyone"
"""What a role stands for when the directory says nothing of it, or says so."""
STARTER = "starter"
"""In a role or an approval: whoever started the run, whom the run itself knows."""


class Deputy(Contract):
    """`user` may decide in somebody's place from `since` until `until`; None: whenever."""

    user: str
    since: datetime | None = None
    until: datetime | None = None
    why: Literal["away", "deputy"] = "deputy"

    def acts(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


class ResolvePeople(Contract):
    """Who `user:`, `group:` and `role:` names are now. Fails with `UnknownPerson` naming the directory."""

    names: tuple[str, ...]


class People(Contract):
    """For each name asked for, the users it stands for: `{"group:finance": ["user:alice", "user:bob"]}`; of a role also
    `starter` and `anyone`. `deputies`: for each of those users, who may act in their place."""

    users: dict[str, tuple[str, ...]]
    deputies: dict[str, tuple[Deputy, ...]] = Field(default={})
