"""An endpoint's answer as it arrives: put together into the very JSON that it would have given unstreamed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Protocol, cast

import httpx2
import openai
from pydantic_core import from_json

from activities.model.errors import Complained, Malformed
from activities.model.sse import events

STALL_SECONDS = 180.0
"""Between two parts of an answer that has begun. A model may think for as long as an answer may take before it speaks,
but once it does, so long a silence is a line that died."""

LAST_WORD_SECONDS = 10.0
"""For the usage, which follows the end of a message; some endpoints neither send it nor end their stream."""

DRAIN_SECONDS = 1.0
"""For what follows the end of an answer, so that its connection serves the next one."""

DONE = b"[DONE]"


class Assembly(Protocol):
    """What an API's stream is put together by."""

    @property
    def begun(self) -> bool:
        """Whether the model has said anything."""

    @property
    def whole(self) -> bool:
        """Whether the message is at its end, though its usage may follow."""

    @property
    def over(self) -> bool:
        """Whether nothing follows that matters."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Raises:
        Malformed: this is no event of the API, or the answer grows beyond what a turn can hold.
        """

    def made(self) -> dict[str, Any]:
        """The answer as an unstreamed one would be."""


async def receive(client: openai.AsyncOpenAI, path: str, body: Mapping[str, Any], assembly: Assembly) -> Any:
    """The answer as JSON, streamed or not as the endpoint likes; text when it is no JSON.

    Raises:
        openai.OpenAIError: no connection, a connection lost or stalled half-way, a status of failure.
        Complained: the stream holds an error.
        Malformed: the stream holds something else than its API promises.
    """
    request = None
    try:
        # The client's documented raw way: its typed methods and stream events cost many times what a token is worth.
        answered = await client.post(
            path, body=dict(body), cast_to=httpx2.Response, stream=True, stream_cls=openai.AsyncStream[Any]
        )
        response = cast("httpx2.Response", answered)
        request = response.request
        try:
            if "text/event-stream" not in response.headers.get("content-type", ""):
                return _plain(await response.aread())
            return await _assembled(response, assembly)
        finally:
            await response.aclose()
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(request or error.request) from error
    except httpx2.RequestError as error:
        raise openai.APIConnectionError(request=request or error.request) from error


async def _assembled(response: httpx2.Response, assembly: Assembly) -> dict[str, Any]:
    async with aclosing(events(response)) as stream:
        try:
            ended = await _read(stream, assembly)
        except TimeoutError:
            if not assembly.whole:
                stalled = "the answer stalled half-way"
                raise openai.APIConnectionError(message=stalled, request=response.request) from None
            ended = True
        except httpx2.RequestError:
            if not assembly.whole:
                raise
            ended = True
        if not ended and not assembly.whole:
            raise openai.APIConnectionError(message="the answer broke off half-way", request=response.request)
        await _drain(stream)
    return assembly.made()


async def _read(stream: AsyncIterator[tuple[str, bytes]], assembly: Assembly) -> bool:
    """Whether the stream said itself that it is at its end.

    Raises:
        TimeoutError: it stalled.
    """
    clock = asyncio.get_running_loop().time
    async with asyncio.timeout(None) as patience:
        async for name, data in stream:
            if data == DONE:
                return True
            assembly.add(_event(name, data))
            if assembly.over:
                return True
            if assembly.begun or assembly.whole:
                patience.reschedule(clock() + (LAST_WORD_SECONDS if assembly.whole else STALL_SECONDS))
    return False


async def _drain(stream: AsyncIterator[tuple[str, bytes]]) -> None:
    with suppress(TimeoutError, httpx2.RequestError, Malformed):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in stream:
                pass


def _event(name: str, data: bytes) -> Mapping[str, Any]:
    """Raises:
    Complained: it is an error.
    Malformed: it is no JSON object.
    """
    try:
        event = from_json(data)
    except ValueError as error:
        if name == "error":
            raise Complained(data[:1_000].decode(errors="replace")) from error
        raise Malformed(f"the stream holds what is not JSON: {data[:200].decode(errors='replace')}") from error
    if not isinstance(event, dict):
        raise Malformed(f"the stream holds what is no event: {str(event)[:200]}")
    Complained.look_at(event)
    if name == "error" or event.get("type") == "error":
        raise Complained(event)
    return event


def _plain(content: bytes) -> Any:
    try:
        return from_json(content)
    except ValueError:
        return content[:1_000].decode(errors="replace")
