"""HTTP tools: a request made of a tool's arguments, its answer as JSON or text, its failures told apart."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote, urlsplit

import httpx2
from temporalio import activity

from activities.breaker import BreakerOpen, Breakers
from activities.tools.egress import EgressRefused, Guard, PinnedTransport, Resolve
from activities.tools.http_answers import Answered, Unanswered, Unreadable, output_of
from contracts.base import Json
from contracts.connections import HttpCall, fill
from contracts.egress import Egress
from contracts.tools import DEFAULT_TIMEOUT, ToolContext, ToolError

MAX_REDIRECTS = 3
_SEE = frozenset({302, 303})
"""Redirects that a service also answers a write with that it carried out, to a page about it."""
_MARGIN = 0.5
"""Seconds before an attempt's timeout at which a request ends, so that what was slow is named."""


class HttpConnector:
    """Clients and breakers of one worker, one per host."""

    def __init__(self, egress: Egress, breakers: Breakers, resolve: Resolve | None = None) -> None:
        self._egress = egress
        self._breakers = breakers
        self._resolve = resolve
        self._clients: dict[str, httpx2.AsyncClient] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def call(self, call: HttpCall, context: ToolContext, args: Mapping[str, Json]) -> Json:
        """Raises:
        ToolError: it was refused or not carried out.
        Unanswered: it may have been carried out.
        """
        request = _request(call, context, args)
        try:
            async with self._watched(urlsplit(call.base).netloc):
                answer = await self._send(call, request)
            return output_of(answer)
        except Unreadable as error:
            if call.method in ("GET", "HEAD"):
                raise ToolError(str(error), retry=False) from error
            raise Unanswered(str(error)) from error

    @asynccontextmanager
    async def _watched(self, host: str) -> AsyncIterator[None]:
        """Within the breaker of a host."""
        breaker = self._breakers.of(host)
        try:
            breaker.admit()
        except BreakerOpen as error:
            raise ToolError(str(error), after=timedelta(seconds=error.after)) from error
        started = time.monotonic()
        ok: bool | None = None
        why = ""
        try:
            yield
            ok = True
        except Answered as error:
            ok, why = (False, str(error.status)) if error.status >= 500 else (None, "")
            raise error.meaning from error
        except Unanswered as error:
            ok, why = False, str(error)
            raise
        except httpx2.ConnectError as error:
            ok, why = False, "no connection"
            raise ToolError(f"{host} cannot be reached: {error}") from error
        except EgressRefused as error:
            raise ToolError(f"not called: {error}", retry=False) from error
        finally:
            breaker.record(ok=ok, seconds=time.monotonic() - started, why=why)

    async def _send(self, call: HttpCall, written: "_Written") -> httpx2.Response:
        client = self._client(call.base)
        seconds = time_left()
        request = client.build_request(
            call.method,
            httpx2.URL(written.url).copy_merge_params(written.query),
            headers=written.headers,
            content=written.content,
            timeout=httpx2.Timeout(seconds, connect=min(10.0, seconds)),
        )
        host = request.url.host
        try:
            async with asyncio.timeout(seconds):
                answer = await self._follow(client, request, call.max_bytes)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise httpx2.ConnectError(f"no connection in time ({type(error).__name__})") from error
        except httpx2.ConnectError:
            raise
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise Unanswered(f"{host} did not answer in time") from error
        except httpx2.TransportError as error:
            raise Unanswered(f"the line to {host} broke: {error}") from error
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        if not answer.is_success:
            raise Answered(answer, written.secrets)
        return answer

    async def _follow(self, client: httpx2.AsyncClient, request: httpx2.Request, max_bytes: int) -> httpx2.Response:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._exchange(client, request, max_bytes)
            if answer.next_request is None:
                return answer
            request = _followed(request, answer.next_request, answer.status_code)
        raise ToolError(f"{request.url.host} redirects more than {MAX_REDIRECTS} times", retry=False)

    @staticmethod
    async def _exchange(client: httpx2.AsyncClient, request: httpx2.Request, max_bytes: int) -> httpx2.Response:
        """The whole answer, up to a size."""
        answer = await client.send(request, stream=True)
        host = request.url.host
        try:
            is_compressed = answer.headers.get("content-encoding", "identity").lower() != "identity"
            if is_compressed and answer.is_success:
                raise Unreadable(f"{host} compresses its answer, which nobody asked it to")
            parts: list[bytes] = []
            size = 0
            # What is no success is told by its status, whatever its words are.
            async for part in answer.aiter_raw():
                size += len(part)
                if not answer.is_success and (is_compressed or size > max_bytes):
                    break
                if size > max_bytes:
                    said = f"{host} answered more than {max_bytes:,} bytes"
                    raise Unreadable(f"{said}; ask for less, or raise `max_bytes`")
                parts.append(part)
        finally:
            await answer.aclose()
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() != b"content-encoding"]
        whole = httpx2.Response(answer.status_code, headers=headers, content=b"".join(parts), request=request)
        whole.next_request = answer.next_request
        return whole

    def _client(self, base: str) -> httpx2.AsyncClient:
        """One per host, so that no connection made for one is used for another."""
        parts = urlsplit(base)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._clients:
            guard = Guard(self._egress, [parts.hostname or ""], self._resolve)
            self._clients[origin] = httpx2.AsyncClient(
                transport=PinnedTransport(guard, self._egress),
                trust_env=False,
                follow_redirects=False,
                headers={"accept": "application/json, text/*;q=0.8", "accept-encoding": "identity"},
            )
        return self._clients[origin]


@dataclass(frozen=True)
class _Written:
    """A request as it goes out."""

    url: str
    query: list[tuple[str, str | int | float | bool | None]]
    headers: dict[str, str]
    content: bytes | None
    secrets: frozenset[str]


def _request(call: HttpCall, context: ToolContext, args: Mapping[str, Json]) -> _Written:
    path = call.path
    for name, value in args.items():
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", _segment(name, value))
    query: list[tuple[str, str | int | float | bool | None]] = []
    for argument, name in call.query.items():
        value = args.get(argument)
        query += [(name, _text(each)) for each in (value if isinstance(value, list) else [value]) if each is not None]
    secrets: set[str] = set()

    def secret(name: str) -> str:
        value = context.secret(name)
        secrets.add(value)
        return value

    headers = {name: fill(text, secret) for name, text in call.fixed.items()}
    headers |= {name: _header(argument, args[argument]) for argument, name in call.headers.items() if argument in args}
    if call.key_header is not None:
        headers[call.key_header] = _key(context.idempotency_key)
    body: Json = None
    if call.whole is not None:
        body = args.get(call.whole)
    elif call.body:
        body = {name: args[argument] for argument, name in call.body.items() if argument in args}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    content = None if body is None else json.dumps(body).encode()
    return _Written(call.base + path, query, headers, content, frozenset(secrets))


def _segment(name: str, value: Json) -> str:
    """A value as one part of a path: no slash, and no dots that would lead out of it."""
    text = _text(value)
    if text in ("", ".", ".."):
        raise ToolError(f"the argument {name} is {text!r}, which cannot be part of a path", retry=False)
    return quote(text, safe="")


def _header(name: str, value: Json) -> str:
    text = _text(value)
    if not text.isascii() or not text.isprintable():
        raise ToolError(f"the argument {name} is sent as a header, which takes plain ASCII text", retry=False)
    return text


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _key(key: str) -> str:
    """The idempotency key as headers take it."""
    return key if key.isascii() and key.isprintable() and len(key) <= 255 else sha256(key.encode()).hexdigest()


def _followed(sent: httpx2.Request, following: httpx2.Request, status: int) -> httpx2.Request:
    """The request a redirect leads to: of a read, to the same host; headers were made for nobody else."""
    here, there = sent.url, following.url
    same = (here.scheme, here.raw_host, here.port) == (there.scheme, there.raw_host, there.port)
    reads = sent.method in ("GET", "HEAD")
    if not reads or not same or there.userinfo:
        shown = there.copy_with(userinfo=b"", query=None, fragment=None)
        said = f"{sent.url.host} redirects to {shown}, which is not followed"
        if not reads and status in _SEE:
            raise Unanswered(said)
        raise ToolError(f"{said}; mend `base` or the path", retry=False)
    following.extensions = {**following.extensions, "timeout": sent.extensions.get("timeout", {})}
    return following


def time_left() -> float:
    """Seconds that this attempt has."""
    bound: timedelta = activity.info().start_to_close_timeout or DEFAULT_TIMEOUT
    return max(bound.total_seconds() - _MARGIN, bound.total_seconds() / 2)
