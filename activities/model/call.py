"""The model call: the conversation loaded by reference, the next endpoint of the chain asked, the answer kept."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openai
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.adapters.call import LoadAgent, ask_foreign
from activities.adapters.turn import Ours
from activities.conversations import ConversationStore
from activities.heartbeats import heartbeating
from activities.model import chat, responses
from activities.model.endpoints import Endpoint, resolve
from activities.model.errors import Complained, Fault, Malformed, classify
from activities.model.memory import Conversations
from activities.model.prices import priced
from activities.model.rehearsal import rehearse
from contracts.activities import CALL_MODEL
from contracts.adapters import Adapter
from contracts.errors import ModelFailed
from contracts.messages import AssistantMessage, Brief, Message
from contracts.model import ModelReply, ModelRequest, Usage
from contracts.settings import ModelAlias, ModelApi

ANSWER_SECONDS = 540.0
"""For one answer; below the workflow's timeout of an attempt, so that the endpoint is named when it is slow."""

log = structlog.get_logger()


def no_foreign_agents(process: str, adapter: Adapter) -> Any:
    raise ModelFailed(f"adapter {adapter.object} of {process}: this worker has no files of processes")


class ModelCall:
    """The activity. `rehearsal`: the script of a process, if it has one. `foreign`: the agent that an adapter names."""

    def __init__(
        self,
        store: ConversationStore,
        rehearsal: Callable[[str], Path | None],
        aliases: Mapping[str, ModelAlias],
        api: ModelApi | None = None,
        environment: Mapping[str, str] = os.environ,
        foreign: LoadAgent = no_foreign_agents,
    ) -> None:
        self._conversations = Conversations(store)
        self._rehearsal = rehearsal
        self._aliases = aliases
        self._api = api
        self._environment = environment
        self._foreign = foreign
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
            if brief.adapter is not None:
                reply = await self._ask_foreign(brief, messages)
            else:
                reply = await self._ask_chain(brief, messages, request)
        except ModelFailed as error:
            raise ApplicationError(str(error), _detail(), type=error.type_name(), non_retryable=True) from error
        await self._conversations.keep(request, reply)
        log.info("model answered", model=reply.model, finish=reply.finish, tokens=reply.usage.tokens)
        return reply

    async def _ask_foreign(self, brief: Brief, messages: Sequence[Message]) -> ModelReply:
        def ours() -> Ours:
            endpoint = resolve(brief.models[0], self._aliases, self._environment, self._api)
            client = self._client(endpoint) if endpoint is not None else None
            return Ours(endpoint, client, lambda: rehearse(self._rehearsal(brief.process), brief, messages))

        answered = await ask_foreign(self._foreign, brief, messages, ours, activity.info().attempt)
        if isinstance(answered, Fault):
            raise _failure([answered])
        return answered

    async def _ask_chain(self, brief: Brief, messages: Sequence[Message], request: ModelRequest) -> ModelReply:
        """The first model of the chain that will do."""
        faults: list[Fault] = []
        for name in brief.models:
            try:
                endpoint = resolve(name, self._aliases, self._environment, self._api)
            except ModelFailed as error:
                faults.append(Fault(str(error), retry=False))
                continue
            if endpoint is None:
                return rehearse(self._rehearsal(brief.process), brief, messages)
            answered = await self._ask_or_fault(endpoint, brief, messages, request.max_output_tokens)
            if isinstance(answered, ModelReply):
                return answered
            faults.append(answered)
            log.warning("model call failed", alias=name, reason=answered.message, unknown=answered.unknown)
            if not answered.other_model:
                break
        raise _failure(faults or [Fault("no model is named", retry=False)])

    async def _ask_or_fault(
        self, endpoint: Endpoint, brief: Brief, messages: Sequence[Message], cap: int | None
    ) -> ModelReply | Fault:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask(endpoint, brief, messages, cap)
        except (openai.OpenAIError, Malformed, Complained, ValueError, TimeoutError) as error:
            fault = classify(error, endpoint, activity.info().attempt)
            if fault is None:
                raise
        if not fault.filtered:
            return fault
        said = AssistantMessage(content=fault.message)
        return ModelReply(message=said, finish="content_filter", model=endpoint.model, usage=Usage(calls=1, unpriced=1))

    async def _ask(self, endpoint: Endpoint, brief: Brief, messages: Sequence[Message], cap: int | None) -> ModelReply:
        api = chat if endpoint.api == "chat" else responses
        client = self._client(endpoint)
        # The typed methods of the client spend tens of milliseconds on transforming a long conversation.
        data: Any = await client.post(api.PATH, body=api.body(brief, messages, endpoint.model, cap), cast_to=object)
        if not isinstance(data, dict):
            raise Malformed(f"not JSON: {str(data)[:200]}")
        if data.get("error"):
            raise Complained(data["error"])
        message, finish, usage = api.answer(data, brief)
        return ModelReply(message=message, finish=finish, model=endpoint.model, usage=priced(usage, endpoint))

    def _client(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        key = (endpoint.url, endpoint.key)
        if key not in self._clients:
            self._clients[key] = openai.AsyncOpenAI(
                base_url=endpoint.url, api_key=endpoint.key, max_retries=0, timeout=ANSWER_SECONDS
            )
        return self._clients[key]


def _failure(faults: Sequence[Fault]) -> ApplicationError:
    """Of a chain: the last decides whether to try again; the message says why each failed."""
    return ApplicationError(
        "; then ".join(fault.message for fault in faults),
        _detail(),
        type=ModelFailed.type_name(),
        non_retryable=not faults[-1].retry,
        next_retry_delay=faults[-1].wait,
    )


def _detail() -> dict[str, Any]:
    return {"attempts": activity.info().attempt, "applied": "no"}
