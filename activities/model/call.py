"""The model call: the conversation loaded by reference, the next endpoint of the chain asked, the answer kept.

What it answers is kept before the activity completes, and looked for before anybody is asked: a worker that dies in
between costs no second answer."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx2
import openai
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.adapters.call import LoadAgent, ask_foreign, no_foreign_agents
from activities.adapters.turn import Ours
from activities.conversations import ConversationStore
from activities.model import measuring
from activities.model.affordable import OverLimit, cap_within
from activities.model.asking import Asking
from activities.model.attempts import ATTEMPTS, Tally, counted, may_retry, pause, tally_so_far
from activities.model.endpoints import Endpoint, resolve
from activities.model.errors import Complained, Fault, Malformed, classify
from activities.model.gate import Gate, Held, Passage
from activities.model.memory import Conversations, place_of
from activities.model.operators import Operators
from activities.model.prices import priced, window_of
from activities.model.rehearsal import rehearse
from activities.model.speech import Speaker, speaking
from contracts.activities import CALL_MODEL
from contracts.board import BoardStore, ModelState
from contracts.errors import LimitReached, ModelFailed
from contracts.messages import AssistantMessage, Brief, Message
from contracts.model import ModelReply, ModelRequest, Usage
from contracts.settings import LONGEST_ANSWER, ModelAlias, ModelApi

BYTES_PER_TOKEN = 3
"""Of a request as JSON: fewer than texts have in most languages, so that an estimate is rather too high."""

PAUSE_BESIDE_FINAL = timedelta(seconds=20)
"""Before a chain is gone through again in which one model waits and others said no, so that those are left in peace."""

CONNECT_SECONDS = 20.0
"""Whoever has not taken a connection by then does not: it was asked for at 0, 1, 3, 7 and 15 s (RFC 6298)."""

log = structlog.get_logger()


@dataclass
class _Call:
    """One attempt of the activity: what it asks, what went wrong on the way, how often it was tried before."""

    request: ModelRequest
    brief: Brief
    messages: Sequence[Message]
    tally: Tally
    speaker: Speaker
    faults: list[Fault]

    def notes(self, answering: str) -> tuple[str, ...]:
        return tuple(f"{fault.message}; {answering} answers instead" for fault in self.faults)


class Heard(Protocol):
    """Told what came of asking a model: the reply, or why there is none, and whether the same model is asked again."""

    def __call__(self, alias: str, answered: ModelReply | Fault, *, again: bool) -> None: ...


def unheard(alias: str, answered: ModelReply | Fault, *, again: bool) -> None:
    """By nobody else."""


class ModelCall:
    """The activity. `rehearsal`: the script of a process, if it has one. `board`: where operators are heard. `foreign`:
    the agent that an adapter names. `transport`: what carries requests, instead of the client's own. `heard`: who else
    is told what models said."""

    def __init__(  # noqa: PLR0913 -- everything it works with, each thing by its name
        self,
        store: ConversationStore,
        rehearsal: Callable[[str], Path | None],
        aliases: Mapping[str, ModelAlias],
        *,
        api: ModelApi | None = None,
        environment: Mapping[str, str] = os.environ,
        board: BoardStore | None = None,
        clock: Callable[[], float] = time.monotonic,
        foreign: LoadAgent = no_foreign_agents,
        transport: Callable[[], httpx2.AsyncBaseTransport] | None = None,
        heard: Heard = unheard,
    ) -> None:
        self._conversations = Conversations(store)
        self._rehearsal = rehearsal
        self._aliases = aliases
        self._api = api
        self._environment = environment
        self._foreign = foreign
        self._transport = transport
        self._heard = heard
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}
        self._gate = Gate(clock)
        self._operators = Operators(board, self._gate.states, clock)

    def activity(self) -> Callable[[ModelRequest], Awaitable[ModelReply]]:
        @activity.defn(name=CALL_MODEL.name)
        async def call_model(request: ModelRequest) -> ModelReply:
            tally = tally_so_far()
            with speaking(request.turn, tally.model_copy(update={"under_way": True})) as speaker:
                return await self._call(request, tally, speaker)

        return call_model

    def states(self) -> tuple[ModelState, ...]:
        """How this worker finds the models that it asked."""
        return self._gate.states()

    async def close(self) -> None:
        await self._operators.close()
        for client in self._clients.values():
            await client.close()

    async def _call(self, request: ModelRequest, tally: Tally, speaker: Speaker) -> ModelReply:
        place = place_of(request)
        if (kept := await self._conversations.answered(place)) is not None:
            log.info("model had answered before", model=kept.model, tokens=kept.usage.tokens, kept=place)
            return kept
        if tally.lost_calls >= ATTEMPTS:
            said = f"its worker was lost {tally.lost_calls} times while the model was asked"
            raise ApplicationError(said, _detail(tally), type=ModelFailed.type_name(), non_retryable=True)
        brief, messages = await self._conversations.load(request)
        call = _Call(request, brief, messages, tally, speaker, [])
        try:
            by_adapter = brief.adapter is not None and request.purpose == "turn"
            reply = await (self._ask_foreign(call) if by_adapter else self._ask_chain(call))
            call.tally = call.tally.model_copy(update={"usage": reply.usage})
            await self._conversations.keep(request, reply, place)
        except ModelFailed as error:
            raise ApplicationError(str(error), _detail(tally), type=error.type_name(), non_retryable=True) from error
        except OverLimit as error:
            detail = _detail(call.tally) | {"limit": error.limit, "needs": error.needs}
            raise ApplicationError(str(error), detail, type=LimitReached.type_name(), non_retryable=True) from error
        except (ApplicationError, asyncio.CancelledError):
            raise
        except Exception as error:
            failure = _slip(call, error)
            self._heard(brief.models[0], call.faults[-1], again=not failure.non_retryable)
            raise failure from error
        finally:
            self._operators.changed()
        log.info("model answered", model=reply.model, finish=reply.finish, tokens=reply.usage.tokens, kept=place)
        return reply

    async def _ask_foreign(self, call: _Call) -> ModelReply:
        """The next message of the agent that takes the place of the models."""

        name = (call.request.models or call.brief.models)[0]

        def ours() -> Ours:
            endpoint = self._endpoint(name)
            client = self._client(endpoint) if endpoint is not None else None
            script = self._rehearsal(call.brief.process)
            return Ours(endpoint, client, lambda: rehearse(script, call.brief, call.messages))

        answered = await ask_foreign(self._foreign, call.brief, call.messages, ours)
        if isinstance(answered, ModelReply):
            self._heard(name, answered, again=False)
            return answered.model_copy(update={"usage": call.tally.usage + answered.usage})
        call.tally = counted(call.tally, answered, probe=False)
        call.faults.append(answered)
        self._heard(name, answered, again=may_retry(call.tally, answered))
        raise _failure(call)

    async def _ask_chain(self, call: _Call) -> ModelReply:
        """The first model of the chain that will do."""
        chain = call.request.models or call.brief.models
        for place, name in enumerate(chain, start=1):
            try:
                endpoint = self._endpoint(name)
            except ModelFailed as error:
                call.faults.append(Fault("no_access", str(error)))
                continue
            if endpoint is None:
                reply = rehearse(self._rehearsal(call.brief.process), call.brief, call.messages)
                measuring.asked(name, reply)
                return reply
            answered = await self._ask_or_fault(endpoint, call)
            if isinstance(answered, ModelReply):
                self._heard(name, answered, again=False)
                usage = call.tally.usage + answered.usage
                notes, window = call.notes(name), window_of(endpoint)
                return answered.model_copy(update={"usage": usage, "notes": notes, "window": window})
            call.faults.append(answered)
            again, leaves = may_retry(call.tally, answered), answered.other_model and place < len(chain)
            self._heard(name, answered, again=again and not leaves)
            if answered.kind == "mistaken" or (again and not answered.other_model):
                break
        raise _failure(call)

    def _endpoint(self, name: str) -> Endpoint | None:
        """Raises:
        ModelFailed: the alias leads nowhere.
        """
        try:
            return resolve(name, self._aliases, self._environment, self._api)
        except ModelFailed as error:
            self._heard(name, Fault("no_access", str(error)), again=False)
            raise

    async def _ask_or_fault(self, endpoint: Endpoint, call: _Call) -> ModelReply | Fault:
        cap = endpoint.cap(cap_within(call.request, endpoint, call.tally.usage))
        asking = Asking.of(endpoint, call.brief, call.messages, call.request, cap)

        def sent() -> int:
            return asking.size() // BYTES_PER_TOKEN

        force = await self._operators.force_of(endpoint.alias)
        caller = f"{activity.info().workflow_id}/{activity.info().activity_id}/{endpoint.alias}"
        try:
            async with self._gate.passage(endpoint, caller, force, sent, cap) as passage:
                answered = await self._ask_through(passage, asking, call)
        except Held as held:
            return held.fault
        measuring.asked(endpoint.alias, answered)
        if isinstance(answered, ModelReply):
            return answered
        call.tally = counted(call.tally, answered, probe=passage.probe)
        log.warning("model call failed", alias=endpoint.alias, kind=answered.kind, reason=answered.message)
        return answered

    async def _ask_through(self, passage: Passage, asking: Asking, call: _Call) -> ModelReply | Fault:
        """The reply, or why there is none; left with the passage too."""
        endpoint = asking.endpoint
        try:
            async with asyncio.timeout(endpoint.timeout.total_seconds()):
                message, finish, usage = await asking.put(self._client(endpoint), passage.cap, call.speaker)
        except (openai.OpenAIError, Malformed, Complained, ValueError, TimeoutError) as error:
            if isinstance(error, Malformed):
                measuring.used(endpoint.alias, error.usage)
                call.tally = call.tally.model_copy(update={"usage": call.tally.usage + error.usage})
            passage.fault = classify(error, endpoint)
            if passage.fault is None:
                raise
            if passage.fault.kind != "filtered":
                return passage.fault
            said = AssistantMessage(content=passage.fault.message)
            unknown = Usage(calls=1, unpriced=1)
            return ModelReply(message=said, finish="content_filter", model=endpoint.model, usage=unknown)
        passage.answered = True
        if usage.tokens:
            passage.used = (usage.input_tokens, usage.output_tokens)
        return ModelReply(message=message, finish=finish, model=endpoint.model, usage=priced(usage, endpoint))

    def _client(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        key = (endpoint.url, endpoint.key)
        if key not in self._clients:
            carrier = self._transport and openai.DefaultAsyncHttpxClient(transport=self._transport())
            self._clients[key] = openai.AsyncOpenAI(
                base_url=endpoint.url,
                api_key=endpoint.key,
                max_retries=0,
                timeout=openai.Timeout(LONGEST_ANSWER.total_seconds(), connect=CONNECT_SECONDS),
                http_client=carrier,
            )
        return self._clients[key]


def _slip(call: _Call, error: Exception) -> ApplicationError:
    """What nobody foresaw. Each attempt may be paid for, so it is bounded as every failure is."""
    log.error("model call failed in a way that is in no table", exc_info=error)
    fault = Fault("unknown", f"{type(error).__name__}: {error}"[:1_000])
    call.tally = counted(call.tally, fault, probe=False)
    call.faults.append(fault)
    return _failure(call)


def _failure(call: _Call) -> ApplicationError:
    """Why no model of the chain answered. Tried again when one of them may answer later, no sooner than that.

    The tally goes with the heartbeat to the next attempt. `too_long` among the details: a shorter conversation may do.
    """
    faults = call.faults or [Fault("missing", "no model is named")]
    waits = [pause(call.tally, fault) for fault in faults if may_retry(call.tally, fault)]
    if faults[-1].kind == "mistaken":
        waits = []
    elif waits and len(waits) < len(faults):
        waits = [max(PAUSE_BESIDE_FINAL, min(waits))]
    activity.heartbeat(call.tally)
    return ApplicationError(
        "; then ".join(fault.message for fault in faults),
        _detail(call.tally) | {"too_long": any(fault.kind == "too_long" for fault in faults)},
        type=ModelFailed.type_name(),
        non_retryable=not waits,
        next_retry_delay=min(waits) if waits else None,
        category=ApplicationErrorCategory.BENIGN if waits else ApplicationErrorCategory.UNSPECIFIED,
    )


def _detail(tally: Tally) -> dict[str, Any]:
    attempts = max(1, tally.failed_calls + tally.busy_calls + tally.lost_calls)
    paid = {"usage": tally.usage.model_dump(exclude_defaults=True)} if tally.usage.tokens else {}
    return {"attempts": attempts, "applied": "no", **paid}
