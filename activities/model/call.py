"""The model call: the conversation loaded by reference, the next endpoint of the chain asked, the answer kept."""

import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openai
import structlog
from pydantic import TypeAdapter
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.conversations import ConversationStore
from activities.heartbeats import heartbeating
from activities.model import chat, responses
from activities.model.endpoints import Endpoint, resolve
from activities.model.errors import Fault, Malformed, classify
from activities.model.prices import priced
from activities.model.rehearsal import rehearse
from contracts.activities import CALL_MODEL
from contracts.errors import ModelFailed
from contracts.messages import Brief, Message, digest, link
from contracts.model import CONVERSATION_LOST, Link, ModelReply, ModelRequest
from contracts.settings import ModelAlias, ModelApi

CACHED_CONVERSATIONS = 1000
ANSWER_SECONDS = 540.0
"""For one answer; below the workflow's timeout of an attempt, so that the endpoint is named when it is slow."""

log = structlog.get_logger()
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class Conversations:
    """Conversations as lists of messages, read through a bounded cache from a store that may have lost any part."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store
        self._built: OrderedDict[str, tuple[Message, ...]] = OrderedDict()

    async def load(self, request: ModelRequest) -> tuple[Brief, tuple[Message, ...]]:
        """The brief, and every message up to and with those added.

        Raises:
            ApplicationError: content is missing; type `ConversationLost`, details are [its digests].
        """
        supplied = {digest(message): message for message in request.supply}
        items = {key: message.model_dump_json().encode() for key, message in supplied.items()}
        items |= {link(made.head, made.added): made.model_dump_json().encode() for made in request.supply_links}
        if request.supply_brief is not None:
            items[digest(request.supply_brief)] = request.supply_brief.model_dump_json().encode()
        await self._store.put(items)
        before = await self._messages_under(request)
        added = await self._content([*request.added, request.brief])
        brief = Brief.model_validate_json(added.pop(request.brief))
        messages = (*before, *(_MESSAGE.validate_json(added[key]) for key in request.added))
        self._remember(link(request.head, request.added) if request.added else request.head, messages)
        return brief, messages

    async def keep(self, request: ModelRequest, reply: ModelReply) -> None:
        """Put the answer, and the link that makes what was added part of the conversation."""
        items = {digest(reply.message): reply.message.model_dump_json().encode()}
        if request.added:
            made = Link(head=request.head, added=request.added)
            items[link(request.head, request.added)] = made.model_dump_json().encode()
        await self._store.put(items)

    async def _messages_under(self, request: ModelRequest) -> tuple[Message, ...]:
        """Walk back from the head to the brief, or to where the cache knows the rest."""
        links: list[tuple[str, Link]] = []
        head = request.head
        while head != request.brief and head not in self._built:
            found = Link.model_validate_json((await self._content([head]))[head])
            links.append((head, found))
            head = found.head
        messages = self._built.get(head, ())
        keys = [key for _, made in links for key in made.added]
        content = await self._content(keys)
        for made_head, made in reversed(links):
            messages = (*messages, *(_MESSAGE.validate_json(content[key]) for key in made.added))
            self._remember(made_head, messages)
        return messages

    async def _content(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = await self._store.get(set(keys))
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            message = f"{len(missing)} messages of the conversation are not in the store; they are supplied again"
            raise ApplicationError(message, missing, type=CONVERSATION_LOST, non_retryable=True)
        return found

    def _remember(self, head: str, messages: tuple[Message, ...]) -> None:
        self._built[head] = messages
        self._built.move_to_end(head)
        while len(self._built) > CACHED_CONVERSATIONS:
            self._built.popitem(last=False)


class ModelCall:
    """The activity. `rehearsal`: the script of a process, if it has one."""

    def __init__(
        self,
        store: ConversationStore,
        rehearsal: Callable[[str], Path | None],
        aliases: Mapping[str, ModelAlias],
        api: ModelApi | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._conversations = Conversations(store)
        self._rehearsal = rehearsal
        self._aliases = aliases
        self._api = api
        self._environment = environment
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}

    def activity(self) -> Callable[[ModelRequest], Awaitable[ModelReply]]:
        @activity.defn(name=CALL_MODEL.name)
        async def call_model(request: ModelRequest) -> ModelReply:
            with heartbeating():
                return await self._call(request)

        return call_model

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _call(self, request: ModelRequest) -> ModelReply:
        brief, messages = await self._conversations.load(request)
        try:
            reply = await self._ask_chain(brief, messages, request)
        except ModelFailed as error:
            raise ApplicationError(str(error), _detail(), type=error.type_name(), non_retryable=True) from error
        await self._conversations.keep(request, reply)
        log.info("model answered", model=reply.model, finish=reply.finish, tokens=reply.usage.tokens)
        return reply

    async def _ask_chain(self, brief: Brief, messages: Sequence[Message], request: ModelRequest) -> ModelReply:
        """The first model of the chain that will do."""
        fault: Fault | None = None
        for name in brief.models:
            endpoint = resolve(name, self._aliases, self._environment, self._api)
            if endpoint is None:
                return rehearse(self._rehearsal(brief.process), brief, messages)
            try:
                return await self._ask(endpoint, brief, messages, request.max_output_tokens)
            except (openai.OpenAIError, Malformed, ValueError) as error:
                fault = classify(error, endpoint, activity.info().attempt)
                if fault is None:
                    raise
                log.warning("model call failed", alias=name, reason=fault.message, unknown=fault.unknown)
                if not fault.other_model:
                    break
        raise _failure(fault or Fault("no model is named", retry=False))

    async def _ask(self, endpoint: Endpoint, brief: Brief, messages: Sequence[Message], cap: int | None) -> ModelReply:
        api = chat if endpoint.api == "chat" else responses
        client = self._client(endpoint)
        # The typed methods of the client spend tens of milliseconds on transforming a long conversation.
        data: Any = await client.post(api.PATH, body=api.body(brief, messages, endpoint.model, cap), cast_to=object)
        if not isinstance(data, dict):
            raise Malformed(f"not JSON: {str(data)[:200]}")
        message, finish, usage = api.answer(data, brief)
        return ModelReply(message=message, finish=finish, model=endpoint.model, usage=priced(usage, endpoint))

    def _client(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        key = (endpoint.url, endpoint.key)
        if key not in self._clients:
            self._clients[key] = openai.AsyncOpenAI(
                base_url=endpoint.url, api_key=endpoint.key, max_retries=0, timeout=ANSWER_SECONDS
            )
        return self._clients[key]


def _failure(fault: Fault) -> ApplicationError:
    return ApplicationError(
        fault.message,
        _detail(),
        type=ModelFailed.type_name(),
        non_retryable=not fault.retry,
        next_retry_delay=fault.wait,
    )


def _detail() -> dict[str, Any]:
    return {"attempts": activity.info().attempt, "applied": "no"}
