"""Faults between the worker and its model endpoints: what a bad day of an endpoint looks like to its client."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import structlog

from activities.faults.dice import Dice

HUGE = 10_000_000
"""Bytes."""

log = structlog.get_logger()


class FaultyTransport(httpx2.AsyncBaseTransport):
    """Lets most requests through, as `[faults.model]` says. The same request falls the same way; sent again, anew."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._inner = httpx2.AsyncHTTPTransport()
        self._sent: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        about = hashlib.sha256(body).hexdigest()
        self._sent[about] += 1
        place = ("model", about, self._sent[about])
        fault = self._dice.pick(self._dice.faults.model, *place)
        if fault is None:
            return await self._inner.handle_async_request(request)
        self._dice.note(f"model.{fault}", f"{request.url} {about[:12]}")
        log.warning("fault on purpose", fault=f"model.{fault}", url=str(request.url))
        if fault == "slow":
            await asyncio.sleep(self._dice.faults.longest.total_seconds() * self._dice.throw("how slow", *place))
            return await self._inner.handle_async_request(request)
        return self._instead(fault, request, json.loads(body or b"{}"))

    def _instead(self, fault: str, request: httpx2.Request, asked: dict[str, object]) -> httpx2.Response:
        match fault:
            case "busy":
                error = {"message": "fault: too many requests", "code": "rate_limit_exceeded"}
                return httpx2.Response(429, headers={"retry-after": "1"}, json={"error": error}, request=request)
            case "down":
                raise httpx2.ConnectError("fault: no connection", request=request)
            case "garbage":
                return _page(request, b"<html><body>fault: be right back</body></html>")
            case "huge":
                return _page(request, b'{"choices": [{"message": {"content": "' + b"x" * HUGE + b'"}}]}')
            case "cut":
                return httpx2.Response(
                    200, headers={"content-type": _kind(asked)}, stream=_BrokenOff(request), request=request
                )
            case _:
                return _refusal(request, asked)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BrokenOff(httpx2.AsyncByteStream):
    def __init__(self, request: httpx2.Request) -> None:
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'data: {"choices": [{"ind'
        raise httpx2.RemoteProtocolError("fault: the answer broke off", request=self._request)


def _kind(asked: dict[str, object]) -> str:
    return "text/event-stream" if asked.get("stream") else "application/json"


def _page(request: httpx2.Request, content: bytes) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/html"}, content=content, request=request)


def _refusal(request: httpx2.Request, asked: dict[str, object]) -> httpx2.Response:
    """As both APIs say it, not streamed: an endpoint may ignore that it was asked for a stream."""
    said = "fault: the model refuses"
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    made: dict[str, object] = {"id": "fault", "created": 1, "model": str(asked.get("model", ""))}
    if "input" in asked:
        content = [{"type": "refusal", "refusal": said}]
        output = [{"type": "message", "role": "assistant", "content": content}]
        made |= {"status": "completed", "output": output, "usage": {"input_tokens": 1, "output_tokens": 1}}
    else:
        message = {"role": "assistant", "content": None, "refusal": said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        made |= {"object": "chat.completion", "choices": [choice], "usage": usage}
    return httpx2.Response(200, json=made, request=request)
