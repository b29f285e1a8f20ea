"""Conversations as the model call needs them: whole lists of messages, through a bounded cache."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.conversations import ConversationStore, ConversationsUnavailable
from contracts.messages import Brief, Message, digest, digest_of, link
from contracts.model import CONVERSATION_LOST, Link, ModelReply, ModelRequest

CACHED_CONVERSATIONS = 1000

log = structlog.get_logger()
T = TypeVar("T")
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class Conversations:
    """Conversations as lists of messages, read through a bounded cache from a store that may have lost any part, or
    that cannot be used at all: what is missing is supplied again, and what cannot be kept is no reason to fail."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store
        self._built: OrderedDict[str, tuple[Message, ...]] = OrderedDict()

    async def answered(self, place: str) -> ModelReply | None:
        """The reply that an attempt before had, and whose worker was lost before it could tell the workflow."""
        return (await _Reading(self._store, {}).read([place], ModelReply.model_validate_json)).get(place)

    async def load(self, request: ModelRequest) -> tuple[Brief, tuple[Message, ...]]:
        """The brief, and every message up to and with those added.

        Raises:
            ApplicationError: content is missing; type `ConversationLost`, details are [its digests].
        """
        supplied = _supplied(request)
        await self._put(supplied)
        reading = _Reading(self._store, supplied)
        base, links = await self._links_under(request, reading)
        keys = [*(key for made in links for key in made.added), *request.added]
        new = await reading.read(keys, _MESSAGE.validate_json)
        briefs = await reading.read([request.brief], Brief.model_validate_json)
        if reading.missing:
            message = f"{len(reading.missing)} parts of the conversation are not in the store; they are supplied again"
            raise ApplicationError(message, reading.missing, type=CONVERSATION_LOST, non_retryable=True)
        messages = (*base, *(new[key] for key in keys))
        self._remember(link(request.head, request.added) if request.added else request.head, messages)
        return briefs[request.brief], messages

    async def keep(self, request: ModelRequest, reply: ModelReply, place: str) -> None:
        """Put the answer and the link that makes what was added part of the conversation, and, for an attempt to come,
        the whole reply in its place."""
        items = {
            digest(reply.message): reply.message.model_dump_json().encode(),
            place: reply.model_dump_json().encode(),
        }
        if request.added:
            made = Link(head=request.head, added=request.added)
            items[link(request.head, request.added)] = made.model_dump_json().encode()
        await self._put(items)

    async def _links_under(
        self, request: ModelRequest, reading: "_Reading"
    ) -> tuple[tuple[Message, ...], Sequence[Link]]:
        """What the cache knows of the conversation, and the links from there to the head."""
        links: list[Link] = []
        head = request.head
        while head != request.brief and head not in self._built:
            found = (await reading.read([head], Link.model_validate_json)).get(head)
            if found is None:
                break
            links.append(found)
            head = found.head
        return self._built.get(head, ()), links[::-1]

    async def _put(self, items: Mapping[str, bytes]) -> None:
        try:
            await self._store.put(items)
        except ConversationsUnavailable as error:
            log.warning("conversation not kept; it will be supplied again", error=str(error))

    def _remember(self, head: str, messages: tuple[Message, ...]) -> None:
        self._built[head] = messages
        self._built.move_to_end(head)
        while len(self._built) > CACHED_CONVERSATIONS:
            self._built.popitem(last=False)


class _Reading:
    """Content by digest, from what was supplied and then the store. `missing`: what neither has whole."""

    def __init__(self, store: ConversationStore, supplied: Mapping[str, bytes]) -> None:
        self._store = store
        self._supplied = supplied
        self.missing: list[str] = []

    async def read(self, keys: Sequence[str], parse: Callable[[bytes], T]) -> dict[str, T]:
        stored = await self._stored({key for key in keys if key not in self._supplied})
        found: dict[str, T] = {}
        for key in dict.fromkeys(keys):
            content = self._supplied.get(key) or stored.get(key)
            try:
                found[key] = parse(content or b"")
            except ValidationError:
                self.missing.append(key)
        return found

    async def _stored(self, keys: Set[str]) -> dict[str, bytes]:
        try:
            return await self._store.get(keys)
        except ConversationsUnavailable as error:
            log.warning("conversation cannot be read; it will be supplied again", error=str(error))
            return {}


def place_of(request: ModelRequest) -> str:
    """Where the reply to this call lies: the same for each of its attempts, and for no other call. The workflow's run
    is part of it, since a step that is tried anew asks the same anew; and so is what was asked, since a call that ended
    without an answer is made again under its name."""
    info = activity.info()
    asked = link(request.head, request.added)
    return digest_of(f"{info.workflow_id}\n{info.workflow_run_id}\n{info.activity_id}\n{asked}".encode())


def _supplied(request: ModelRequest) -> dict[str, bytes]:
    contents = {digest(message): message.model_dump_json().encode() for message in request.supply}
    contents |= {link(made.head, made.added): made.model_dump_json().encode() for made in request.supply_links}
    if request.supply_brief is not None:
        contents[request.brief] = request.supply_brief.model_dump_json().encode()
    return contents
