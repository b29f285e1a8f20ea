"""Model answers recorded and replayed where they go over the wire, so that all that reads them is tried as well."""

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import httpx2

from activities.model.attempts import ATTEMPTS
from activities.model.errors import Fault
from contracts.errors import CallerError, RecordingMissing, SurefootError
from contracts.evals import RecordedReply
from contracts.model import ModelReply

PASSING = frozenset({408, 409, 429})
"""Statuses, like all from 500 on, after which the same is asked again."""

OUTCOMES = frozenset({"too_long", "slip"})
"""Faults that are of the agent's own doing, and come about again whenever it is replayed."""

LONGEST = 900.0
"""Seconds of real time for one try: what models may take."""


class Kept:
    """Replies of one try, each to be given once, in the order in which they came."""

    def __init__(self, replies: Sequence[RecordedReply]) -> None:
        self._left: defaultdict[str, list[RecordedReply]] = defaultdict(list)
        for reply in replies:
            self._left[reply.request].append(reply)

    def take(self, asked: str) -> RecordedReply | None:
        return self._left[asked].pop(0) if self._left[asked] else None


class Carrier(httpx2.AsyncBaseTransport):
    """What carries the requests of one try to models.

    `replies`: what was answered to stay. `given_up`: why the try is worth nothing. `trouble`: why a model that is asked
    again has not answered yet.
    """

    def __init__(self) -> None:
        self.replies: list[RecordedReply] = []
        self.given_up: SurefootError | None = None
        self.trouble = ""

    def heard(self, alias: str, answered: ModelReply | Fault, *, again: bool) -> None:
        """What came of asking a model."""


class Recorder(Carrier):
    """Asks what is not kept from before, and keeps what was answered. `troubled`: told of each trouble."""

    def __init__(self, kept: Sequence[RecordedReply], troubled: Callable[[str], None]) -> None:
        super().__init__()
        self._kept = Kept(kept)
        self._troubled = troubled
        self._unanswered: Counter[str] = Counter()
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = digest(request.method, request.url.path, await request.aread())
        reply = self._kept.take(asked) or await self._ask(asked, request)
        if reply.status < 500 and reply.status not in PASSING:
            self.replies.append(reply)
        return _response(reply, request)

    def heard(self, alias: str, answered: ModelReply | Fault, *, again: bool) -> None:
        """A model that leaves as many calls unanswered, one after the other, as any one is made, is taken for down."""
        if isinstance(answered, ModelReply):
            del self._unanswered[alias]
            self.trouble = ""
            return
        if answered.kind in OUTCOMES or self.given_up is not None:
            return
        self._unanswered[alias] += answered.broken
        too_late = answered.wait is not None and answered.wait.total_seconds() > LONGEST
        if self._unanswered[alias] >= ATTEMPTS:
            self.given_up = CallerError(f"the model {alias} does not answer: {answered.message}")
        elif not again or too_late:
            self.given_up = CallerError(f"the model {alias} gave no answer that could be recorded: {answered.message}")
        elif answered.kind != "held":
            self.trouble = f"the model {alias} is asked again: {answered.message}"
            self._troubled(self.trouble)

    async def _ask(self, asked: str, request: httpx2.Request) -> RecordedReply:
        begun = time.monotonic()
        answered = await self._inner.handle_async_request(request)
        body = await answered.aread()
        await answered.aclose()
        return RecordedReply(
            request=asked,
            status=answered.status_code,
            content_type=answered.headers.get("content-type", ""),
            body=body.decode(),
            seconds=round(time.monotonic() - begun, 3),
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class Replayer(Carrier):
    """Answers what was recorded for one try, and reaches nothing. `missing`: what to say of what never was, by the
    digest of the request."""

    def __init__(self, replies: Sequence[RecordedReply], missing: Callable[[str], str]) -> None:
        super().__init__()
        self._kept = Kept(replies)
        self._missing = missing

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = digest(request.method, request.url.path, await request.aread())
        reply = self._kept.take(asked)
        if reply is None:
            self.given_up = self.given_up or RecordingMissing(self._missing(asked))
            # What no endpoint ever takes back, so that it is not asked again.
            error = {"error": {"message": f"no answer to request {asked[:12]} was recorded"}}
            return httpx2.Response(400, json=error, request=request)
        self.replies.append(reply)
        return _response(reply, request)


def digest(method: str, path: str, body: bytes) -> str:
    """Of what is asked: not of where, nor of keys, nor of the order in which JSON is written."""
    canonical = json.dumps(json.loads(body), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{method} {path}\n{canonical}".encode()).hexdigest()


def _response(reply: RecordedReply, request: httpx2.Request) -> httpx2.Response:
    headers = {"content-type": reply.content_type}
    return httpx2.Response(reply.status, headers=headers, content=reply.body.encode(), request=request)
