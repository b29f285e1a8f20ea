"""An agent's conversation as the workflow keeps it: every message once, sent to a model call by digest.

The model activity loads what it is referred to from its store. Whatever that store lacks, the workflow has, and
supplies again; so the store may be lost at any time. What is done a turn does not grow with the conversation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.messages import Brief, Message, digest_of, link
from contracts.model import Link, ModelRequest


@dataclass(frozen=True)
class Entry:
    """A message with its digest and its size in bytes of JSON."""

    message: Message
    key: str
    size: int


@dataclass(frozen=True)
class Turn:
    """What was added before a model call that was answered. `head`: of the conversation up to and with it."""

    entries: tuple[Entry, ...]
    head: str
    link: Link | None

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)


class Conversation:
    """`turns`: each an answer of the model with the results of its calls, or with what was wrong in it; the first has
    nothing before it. `pending`: what the next call adds. `size`: bytes of brief and messages."""

    def __init__(self, brief: Brief, turns: Iterable[Sequence[Message]] = ()) -> None:
        body = brief.model_dump_json().encode()
        self.brief = brief
        self.turns: list[Turn] = []
        self.pending: list[Entry] = []
        self.brief_size = self.size = len(body)
        self._brief_digest = digest_of(body)
        self._unsent: dict[str, None] = {self._brief_digest: None}
        for turn in turns:
            for message in turn:
                self.add(message, stored=True)
            self.commit()

    def add(self, message: Message, *, stored: bool) -> None:
        """Add a message. `stored`: the activity that made it has put it where model calls look."""
        entry = _entry(message)
        self.pending.append(entry)
        self.size += entry.size
        if not stored:
            self._unsent[entry.key] = None

    def request(self, *, run: str, step: str, turn: int, max_output_tokens: int | None = None) -> ModelRequest:
        """The next model call, with what the store cannot have yet."""
        request = ModelRequest(
            brief=self._brief_digest,
            head=self._head,
            added=tuple(entry.key for entry in self.pending),
            run=run,
            step=step,
            turn=turn,
            max_output_tokens=max_output_tokens,
        )
        return self._with(request, self._unsent) if self._unsent else request

    def aside(self, stop: int, message: Message, *, run: str, step: str, turn: int) -> ModelRequest:
        """A call about the turns up to `stop`, which adds nothing to the conversation."""
        entry = _entry(message)
        request = self.request(run=run, step=step, turn=turn)
        head = self.turns[stop - 1].head if stop else self._brief_digest
        return request.model_copy(
            update={
                "head": head,
                "added": (entry.key,),
                "supply": (*request.supply, message),
                "purpose": "summary",
            }
        )

    def resupply(self, request: ModelRequest, missing: Iterable[str]) -> ModelRequest:
        """The same call, with what the store turned out to lack. Behind a missing link nobody knows what else is, so
        then it is everything."""
        lost = {*missing, *self._unsent}
        if any(turn.head in lost for turn in self.turns if turn.link):
            lost |= {self._brief_digest, *(turn.head for turn in self.turns)}
            lost |= {entry.key for entry in self._entries()}
        return self._with(request, lost)

    def commit(self) -> None:
        """The pending messages were answered: they are part of the conversation."""
        self.turns.append(_turn(self._head, tuple(self.pending)))
        self.pending = []
        self._unsent.clear()

    def replace(self, start: int, stop: int, messages: Sequence[Message]) -> None:
        """Put other messages, as one turn, in the place of those of some turns; what comes after them stays."""
        replaced, after = self.turns[start:stop], self.turns[stop:]
        known = {entry.key for turn in replaced for entry in turn.entries}
        self.turns = self.turns[:start]
        for entries in (tuple(_entry(message) for message in messages), *(turn.entries for turn in after)):
            self.turns.append(_turn(self._head, entries))
            self._unsent[self.turns[-1].head] = None
        made = self.turns[start]
        self.size += made.size - sum(turn.size for turn in replaced)
        self._unsent.update(dict.fromkeys(entry.key for entry in made.entries if entry.key not in known))

    @property
    def _head(self) -> str:
        return self.turns[-1].head if self.turns else self._brief_digest

    def _entries(self) -> Iterable[Entry]:
        for turn in self.turns:
            yield from turn.entries
        yield from self.pending

    def _with(self, request: ModelRequest, supplied: Iterable[str]) -> ModelRequest:
        wanted = set(supplied)
        found = {entry.key: entry.message for entry in self._entries() if entry.key in wanted}
        return request.model_copy(
            update={
                "supply_brief": self.brief if self._brief_digest in wanted else None,
                "supply": tuple(found.values()),
                "supply_links": tuple(turn.link for turn in self.turns if turn.link and turn.head in wanted),
            }
        )


def _entry(message: Message) -> Entry:
    body = message.model_dump_json().encode()
    return Entry(message, digest_of(body), len(body))


def _turn(head: str, entries: tuple[Entry, ...]) -> Turn:
    if not entries:
        return Turn((), head, None)
    added = tuple(entry.key for entry in entries)
    return Turn(entries, link(head, added), Link(head=head, added=added))
