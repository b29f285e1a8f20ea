"""Model answers recorded and replayed where they go over the wire, so that all that reads them is tried as well."""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Sequence

import httpx2

from contracts.evals import RecordedReply

PASSING = frozenset({408, 409, 429})
"""Statuses, like all from 500 on, after which the same is asked again."""


class Recorder(httpx2.AsyncBaseTransport):
    """Asks, and keeps what was answered to stay."""

    def __init__(self) -> None:
        self.replies: list[RecordedReply] = []
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = digest(request.method, request.url.path, await request.aread())
        begun = time.monotonic()
        answered = await self._inner.handle_async_request(request)
        body = await answered.aread()
        await answered.aclose()
        reply = RecordedReply(
            request=asked,
            status=answered.status_code,
            content_type=answered.headers.get("content-type", ""),
            body=body.decode(),
            seconds=round(time.monotonic() - begun, 3),
        )
        if reply.status < 500 and reply.status not in PASSING:
            self.replies.append(reply)
        return _response(reply, request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Replayer(httpx2.AsyncBaseTransport):
    """Answers what was recorded for one try, and reaches nothing. `missing`: what was asked and never recorded."""

    def __init__(self, replies: Sequence[RecordedReply]) -> None:
        self.missing: list[str] = []
        self.replies: list[RecordedReply] = []
        self._left: defaultdict[str, list[RecordedReply]] = defaultdict(list)
        for reply in replies:
            self._left[reply.request].append(reply)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = digest(request.method, request.url.path, await request.aread())
        if not self._left[asked]:
            self.missing.append(asked)
            # What no endpoint ever takes back, so that it is not asked again.
            error = {"error": {"message": f"no answer to request {asked[:12]} was recorded"}}
            return httpx2.Response(400, json=error, request=request)
        self.replies.append(self._left[asked].pop(0))
        return _response(self.replies[-1], request)


def digest(method: str, path: str, body: bytes) -> str:
    """Of what is asked: not of where, nor of keys, nor of the order in which JSON is written."""
    canonical = json.dumps(json.loads(body), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{method} {path}\n{canonical}".encode()).hexdigest()


def _response(reply: RecordedReply, request: httpx2.Request) -> httpx2.Response:
    headers = {"content-type": reply.content_type}
    return httpx2.Response(reply.status, headers=headers, content=reply.body.encode(), request=request)
