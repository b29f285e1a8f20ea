"""Large results of agents' calls, kept where conversations are."""

import hashlib
from collections.abc import Awaitable, Callable

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.conversations import ConversationStore, ConversationsUnavailable
from contracts.activities import KEEP_RESULT, KeepResult, Kept
from contracts.base import Json
from contracts.errors import ToolFailed
from contracts.messages import json_text
from contracts.results import SHOWN_WHOLE, part_of
from contracts.tools import Part

log = structlog.get_logger()


def keep_result_activity(store: ConversationStore) -> Callable[[KeepResult], Awaitable[Kept]]:
    @activity.defn(name=KEEP_RESULT.name)
    async def keep_result(request: KeepResult) -> Kept:
        try:
            return Kept(part=await Results(store).keep_if_large(request.output))
        except ConversationsUnavailable as error:
            log.warning("large result not kept; the conversation holds all of it", error=str(error))
            return Kept()

    return keep_result


class Results:
    """`contracts.results.ResultStore` in a conversation store."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store

    async def keep_if_large(self, output: Json) -> Part | None:
        """Keep a result that is too large to be shown whole; None for one that is not.

        Raises:
            ConversationsUnavailable: the store cannot be written now.
        """
        text = json_text(output)
        content = text.encode()
        if len(content) <= SHOWN_WHOLE:
            return None
        digest = hashlib.sha256(content).hexdigest()[:32]
        await self._store.put({digest: content})
        return part_of(digest, text)

    async def read(self, digest: str) -> str | None:
        try:
            found = await self._store.get([digest])
        except ConversationsUnavailable as error:
            raise ApplicationError(str(error), {"applied": "no"}, type=ToolFailed.type_name()) from error
        return found[digest].decode() if digest in found else None
