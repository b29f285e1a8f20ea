"""Sessions with MCP servers: one per server, shared by all calls of a worker, opened when first needed and again when
it broke. A server's own words, but for the pinned ones, are data: its instructions are not read."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import cast
from urllib.parse import urlsplit

import httpx2
from mcp.client.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, Implementation, ToolListChangedNotification

from activities.tools.egress import Guard, PinnedTransport
from contracts.base import Contract
from contracts.connections import McpServer, PinnedTool, fill
from contracts.egress import Egress
from language.tools.pins import pinned

MAX_BYTES = 10_000_000
"""Of one answer."""
MAX_PAGES = 100
LISTED_FOR = 60.0
"""Seconds that a list of tools is taken for current, when the server does not say that it changed."""
PATIENCE = 5.0
"""Seconds for a server that a call has timed out of to give a sign of life."""
GOODBYE = 15.0
"""Seconds for a server to end; its process is killed before that."""

# Each line of a server's that is no message would be logged with all its words and a stack, by the thousand.
logging.getLogger("mcp.client.stdio").setLevel(logging.CRITICAL)


class Filled(Contract):
    """How to reach a server, secrets put in."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    folder: str
    url: str = ""
    headers: dict[str, str] = {}


def filled(server: McpServer, folder: str, secret: Callable[[str], str]) -> Filled:
    return Filled(
        command=tuple(fill(part, secret) for part in server.command or ()),
        env={name: fill(text, secret) for name, text in server.env.items()},
        folder=folder,
        url=server.url or "",
        headers={name: fill(text, secret) for name, text in server.headers.items()},
    )


class McpUnreachable(Exception):
    """No session could be opened; nothing was called."""


class Session:
    """A session lives in a task of its own, since what opens it must close it."""

    def __init__(self, to: Filled, egress: Egress) -> None:
        self.to = to
        self._egress = egress
        self._stop = asyncio.Event()
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._tools: dict[str, PinnedTool] = {}
        self._listed = 0.0
        self._listing = asyncio.Lock()

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done() and not self._stop.is_set()

    async def open(self, seconds: float) -> None:
        """Raises:
        McpUnreachable: the server cannot be started or reached, or does not speak MCP.
        """
        self._task = asyncio.create_task(self._live(), name="mcp session")
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._client)
        except TimeoutError as error:
            raise McpUnreachable(f"it did not answer within {seconds:g} s") from error

    async def client(self) -> Client:
        return await asyncio.shield(self._client)

    async def tools(self) -> dict[str, PinnedTool]:
        """What the server offers now, by its own names."""
        async with self._listing:
            if time.monotonic() - self._listed > LISTED_FOR or not self._listed:
                self._tools = await _offered(await self.client())
                self._listed = time.monotonic()
            return self._tools

    async def answers(self) -> bool:
        """Whether there is anybody at the other end, who may only be slow."""
        try:
            async with asyncio.timeout(PATIENCE):
                await (await self.client()).list_tools()
        except (McpUnreachable, TimeoutError):
            return False
        except MCPError as error:
            return not is_broken(error)
        return True

    async def close(self) -> None:
        self._stop.set()
        if self._task is None:
            return
        if not self._client.done():
            self._task.cancel()  # it waits for the server's first word, not for a sign to stop
        with suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(self._task), GOODBYE)
        if not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _live(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(await self._connect(stack))
                self._client.set_result(client)
                await self._stop.wait()
        except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - told to whoever waits for the session
            self._stop.set()
            if not self._client.done():
                self._client.set_exception(McpUnreachable(_innermost(error)))
                self._client.exception()  # whoever opened it may have gone

    async def _connect(self, stack: AsyncExitStack) -> Client:
        if self.to.command:
            parameters = StdioServerParameters(
                command=self.to.command[0], args=list(self.to.command[1:]), env=self.to.env, cwd=self.to.folder
            )
            return self._speaking(stdio_client(parameters))
        guard = Guard(self._egress, [urlsplit(self.to.url).hostname or ""])
        http = httpx2.AsyncClient(
            transport=CappedTransport(PinnedTransport(guard, self._egress)),
            headers=self.to.headers,
            timeout=httpx2.Timeout(30.0, read=300.0),
            trust_env=False,
        )
        await stack.enter_async_context(http)
        return self._speaking(streamable_http_client(self.to.url, http_client=http, max_sse_event_size=MAX_BYTES))

    def _speaking(self, transport: object) -> Client:
        return Client(
            transport,  # type: ignore[arg-type]
            message_handler=self._told,
            cache=None,
            client_info=Implementation(name="surefoot", version="1"),
        )

    async def _told(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._listed = 0.0


async def _offered(client: Client) -> dict[str, PinnedTool]:
    if client.server_capabilities.tools is None:
        return {}
    found: dict[str, PinnedTool] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
            found[tool.name] = pinned(tool.description or "", tool.input_schema, tool.output_schema or {}, hints)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


class CappedTransport(httpx2.AsyncBaseTransport):
    """Ends an answer that is longer than it may be, before it is all in memory. Event streams are bounded by event."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.stream = _Capped(cast("httpx2.AsyncByteStream", answer.stream))
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Capped(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._inner:
            size += len(part)
            if size > MAX_BYTES:
                raise httpx2.ReadError(f"the answer is longer than {MAX_BYTES:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def is_broken(error: BaseException) -> bool:
    """Whether an error says that the session itself is no good any more."""
    return not isinstance(error, MCPError) or error.code == CONNECTION_CLOSED


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    while error.__cause__ is not None and not str(error):
        error = error.__cause__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
