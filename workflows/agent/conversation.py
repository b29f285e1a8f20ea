"""An agent's conversation as the workflow keeps it: every message once, sent to a model call by digest.

The model activity loads what it is referred to from its store. Whatever that store lacks, the workflow has, and
supplies again; so the store may be lost at any time.
"""

from collections.abc import Iterable

from contracts.messages import Brief, Message, digest, link
from contracts.model import Link, ModelRequest


class Conversation:
    """`turns`: what was added before each model call that was answered. `pending`: what the next call adds."""

    def __init__(self, brief: Brief, turns: Iterable[tuple[Message, ...]] = ()) -> None:
        self.brief = brief
        self.turns: list[tuple[Message, ...]] = []
        self.pending: list[Message] = []
        self._brief_digest = digest(brief)
        self._messages: dict[str, Message] = {}
        self._links: dict[str, Link] = {}
        self._head = self._brief_digest
        self._unsent: set[str] = {self._brief_digest}
        for turn in turns:
            self.pending = list(turn)
            self.commit()

    def add(self, message: Message, *, stored: bool) -> None:
        """Add a message. `stored`: the activity that made it has put it where model calls look."""
        self.pending.append(message)
        if not stored:
            self._unsent.add(digest(message))

    def request(self, *, run: str, step: str, turn: int, max_output_tokens: int | None) -> ModelRequest:
        """The next model call, with what the store cannot have yet."""
        for message in self.pending:
            self._messages[digest(message)] = message
        return self._with(
            ModelRequest(
                brief=self._brief_digest,
                head=self._head,
                added=self._added(),
                run=run,
                step=step,
                turn=turn,
                max_output_tokens=max_output_tokens,
            ),
            self._unsent,
        )

    def resupply(self, request: ModelRequest, missing: Iterable[str]) -> ModelRequest:
        """The same call, with what the store turned out to lack. Behind a missing link nobody knows what else is, so
        then it is everything."""
        lost = {*missing, *self._unsent}
        if lost & self._links.keys():
            lost |= {self._brief_digest, *self._links, *self._messages}
        return self._with(request, lost)

    def commit(self) -> None:
        """The pending messages were answered: they are part of the conversation."""
        added = self._added()
        if added:
            for message in self.pending:
                self._messages[digest(message)] = message
            made = link(self._head, added)
            self._links[made] = Link(head=self._head, added=added)
            self._head = made
        self.turns.append(tuple(self.pending))
        self.pending = []
        self._unsent.clear()

    def _added(self) -> tuple[str, ...]:
        return tuple(digest(message) for message in self.pending)

    def _with(self, request: ModelRequest, supplied: set[str]) -> ModelRequest:
        return request.model_copy(
            update={
                "supply_brief": self.brief if self._brief_digest in supplied else None,
                "supply": tuple(message for key, message in self._messages.items() if key in supplied),
                "supply_links": tuple(found for key, found in self._links.items() if key in supplied),
            }
        )
