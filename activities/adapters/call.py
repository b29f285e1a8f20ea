"""A turn of a foreign agent as a model call: loaded, advanced, priced, its errors classified."""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import openai

from activities.adapters.turn import Advance, Ours, Said, Turn
from activities.model.chat import bounded
from activities.model.endpoints import NO_KEY, Endpoint
from activities.model.errors import Complained, Fault, Malformed, classify
from activities.model.names import outside_names
from activities.model.prices import priced
from activities.model.rehearsal import MODEL_NAME as SCRIPTED
from contracts.adapters import Adapter
from contracts.errors import ModelFailed
from contracts.messages import AssistantMessage, Brief, Message
from contracts.model import ModelReply, Usage
from contracts.settings import OPENAI_URL

TURN_SECONDS = 540.0
"""For one turn; below the workflow's timeout of an attempt, so that the agent is named when it is slow."""

LoadAgent = Callable[[str, Adapter], Any]
"""The object that a process's adapter names. Raises ModelFailed."""


def no_foreign_agents(process: str, adapter: Adapter) -> Any:
    raise ModelFailed(f"adapter {adapter.object} of {process}: this worker has no files of processes")


async def ask_foreign(
    load: LoadAgent, brief: Brief, messages: Sequence[Message], ours: Callable[[], Ours]
) -> ModelReply | Fault:
    """The foreign agent's next message.

    Args:
        ours: what answers when the agent has no model of its own.

    Raises:
        ModelFailed: it cannot be loaded, or asked for what it may not.
    """
    adapter = brief.adapter
    if adapter is None:
        raise ModelFailed(f"agent {brief.agent} has no adapter")
    used: list[Ours] = []

    def ours_used() -> Ours:
        used.append(ours())
        return used[-1]

    names = outside_names(tool.name for tool in brief.tools)
    found, advance = await asyncio.to_thread(_imported, load, brief.process, adapter)
    turn = Turn(found, brief, messages, names, adapter.own_tools, ours_used)
    try:
        async with asyncio.timeout(TURN_SECONDS):
            said = await advance(turn)
    except ModelFailed:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a team's agent raises is told with its name
        fault = _fault(error, used[-1].endpoint if used else None, adapter)
        return _filtered(fault) if fault.kind == "filtered" else fault
    return _reply(said, used[-1] if used else None)


def own_model(adapter: Adapter, agent: Any) -> str | None:
    """Of an agent that asks models of its own, as far as can be seen from outside: what would have it answered by an
    alias. Nobody but the agent knows of what it asks them."""
    found: str | None = _framework(adapter).own_model(agent)
    return found


def _imported(load: LoadAgent, process: str, adapter: Adapter) -> tuple[Any, Advance]:
    """The agent, and what advances one of its framework.

    In a thread: a framework takes seconds to import the first time, in which a worker whose loop stood still would be
    taken for lost. Not before it is used: a worker needs the framework only for processes that name it.
    """
    found = load(process, adapter)
    advance: Advance = _framework(adapter).advance
    return found, advance


def _framework(adapter: Adapter) -> ModuleType:
    return importlib.import_module(f"activities.adapters.{adapter.framework}")


def _reply(said: Said, ours: Ours | None) -> ModelReply:
    """`ours`: what answered in the place of a model of its own."""
    message = AssistantMessage(content=said.content, tool_calls=said.calls, native=said.native)
    finish = "tool_calls" if said.calls else "stop"
    if ours is not None and ours.endpoint is None:
        usage = Usage(calls=1, rehearsed=1)
        return ModelReply(message=message, finish=finish, model=SCRIPTED, usage=usage, rehearsal=True)
    endpoint = ours.endpoint if ours is not None and ours.endpoint is not None else _endpoint(said.model, said.url)
    usage = Usage(calls=said.requests, input_tokens=said.input_tokens, output_tokens=said.output_tokens)
    usage = priced(usage, endpoint) if usage.tokens else usage.model_copy(update={"unpriced": usage.calls})
    return ModelReply(message=bounded(message), finish=finish, model=endpoint.model, usage=usage)


def _endpoint(model: str, url: str) -> Endpoint:
    """Of a model that the agent brings: what prices and messages need to know."""
    return Endpoint(alias="adapter", model=model, url=url, api="chat", key=NO_KEY, key_setting="its key")


def _filtered(fault: Fault) -> ModelReply:
    said = AssistantMessage(content=fault.message)
    return ModelReply(message=said, finish="content_filter", model="adapter", usage=Usage(calls=1, unpriced=1))


def _fault(error: Exception, ours: Endpoint | None, adapter: Adapter) -> Fault:
    """What an error means, by the model client's own error when there is one at its root."""
    endpoint = ours or _endpoint(adapter.object, OPENAI_URL)
    for cause in _causes(error):
        if isinstance(cause, openai.OpenAIError | Malformed | Complained | TimeoutError):
            fault = classify(cause, endpoint)
            if fault is not None:
                return fault
    message = f"{adapter.object} ({adapter.framework}) failed: {type(error).__name__}: {str(error)[:500]}"
    return Fault("slip", message)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found
