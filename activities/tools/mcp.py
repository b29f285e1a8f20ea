"""MCP tools: calls over shared sessions, of tools that are still what they were when they were pinned."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    REQUEST_TIMEOUT,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    TextContent,
    TextResourceContents,
)

from activities.breaker import BreakerOpen, Breakers
from activities.tools.context import Secrets
from activities.tools.http import time_left
from activities.tools.http_answers import Unanswered
from activities.tools.mcp_sessions import McpUnreachable, Session, filled, is_broken
from contracts.base import Json
from contracts.connections import McpCall, McpServer, PinnedTool, Pins
from contracts.egress import Egress
from contracts.errors import CallerError
from contracts.tools import ToolContext, ToolError
from language.tools.pins import changes

MAX_LISTED = 1000


class McpConnector:
    """Sessions of one worker, one per server."""

    def __init__(self, egress: Egress, breakers: Breakers) -> None:
        self._egress = egress
        self._breakers = breakers
        self._sessions: dict[str, Session] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger("surefoot.tools")

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions.values()), *self._leaving)

    async def call(self, group: str, call: McpCall, context: ToolContext, args: Mapping[str, Json]) -> Json:
        """Raises:
        ToolError: it was refused, or the tool says it failed.
        Unanswered: the session broke, or there was no answer in time; it may have been done.
        """
        seconds = time_left()
        async with self._watched(f"mcp {group}"):
            try:
                async with asyncio.timeout(seconds):
                    session = await self._session(group, call, context, seconds)
            except TimeoutError as error:
                raise McpUnreachable(f"no session within {seconds:g} s") from error
            try:
                async with asyncio.timeout(seconds):
                    if call.what == "tool":
                        await self._check_pin(group, call, session)
                    return await _ask(await session.client(), call, args)
            except TimeoutError as error:
                self._later(_close_if_silent(session))
                raise Unanswered(f"{group} did not answer in time") from error
            except MCPError as error:
                if error.code == REQUEST_TIMEOUT:
                    raise Unanswered(f"{group} did not answer in time") from error
                if error.code == INTERNAL_ERROR:
                    raise Unanswered(f"{group} broke down over it: {error.message}") from error
                if not is_broken(error):
                    raise ToolError(f"{group} refused it: {error.message}", retry=False) from error
                await session.close()
                raise Unanswered(f"the session with {group} broke: {error.message}") from error

    async def _session(self, group: str, call: McpCall, context: ToolContext, seconds: float) -> Session:
        # Asked for at each call, so that each knows the secrets it must not show.
        to = filled(call.server, call.folder, context.secret)
        key = f"{call.folder}:{group}"
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._sessions.get(key)
            if known is not None and known.alive and known.to == to:
                return known
            if known is not None:
                self._later(known.close())
            session = Session(to, self._egress)
            try:
                await session.open(min(seconds, 20.0))
            except BaseException:
                self._later(session.close())
                raise
            self._sessions[key] = session
            return session

    def _later(self, leaving: Coroutine[None, None, None]) -> None:
        """What ends a session takes longer than a call has."""
        task = asyncio.create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _check_pin(self, group: str, call: McpCall, session: Session) -> None:
        offered = (await session.tools()).get(call.name)
        if offered is None:
            raise ToolError(f"{group} does not offer {call.name} any more; see `starter.py tools check`", retry=False)
        if offered.hash != call.pinned.hash:
            self._log.warning("tool quarantined", server=group, tool=call.name)
            said = "; ".join(changes(call.pinned, offered))
            raise ToolError(
                f"{call.name} of {group} is quarantined: it is not what was pinned. {said}. "
                "Look at it with `starter.py tools check`, accept it with `starter.py tools pin`",
                retry=False,
            )

    @asynccontextmanager
    async def _watched(self, name: str) -> AsyncIterator[None]:
        breaker = self._breakers.of(name)
        try:
            breaker.admit()
        except BreakerOpen as error:
            raise ToolError(str(error), after=timedelta(seconds=error.after)) from error
        started, ok, why = time.monotonic(), None, ""
        try:
            yield
            ok = True
        except McpUnreachable as error:
            ok, why = False, "no session"
            raise ToolError(f"the MCP server {name.removeprefix('mcp ')} cannot be reached: {error}") from error
        except Unanswered as error:
            ok, why = False, str(error)
            raise
        finally:
            breaker.record(ok=ok, seconds=time.monotonic() - started, why=why)


async def _close_if_silent(session: Session) -> None:
    if not await session.answers():
        await session.close()


async def describe(
    servers: Mapping[str, tuple[McpServer, str]], secret: Secrets, egress: Egress, seconds: float = 30.0
) -> Pins:
    """What servers offer now, for somebody to look at and pin. `servers`: by group, with the folder of its file.

    Raises:
        CallerError: one cannot be reached, or a secret for it is not set; says which.
    """
    found: dict[str, dict[str, PinnedTool]] = {}
    for group, (server, folder) in servers.items():
        try:
            session = Session(filled(server, folder, secret), egress)
        except ToolError as error:
            raise CallerError(str(error)) from error
        try:
            await session.open(seconds)
            async with asyncio.timeout(seconds):
                found[group] = await session.tools()
        except (McpUnreachable, MCPError, TimeoutError) as error:
            raise CallerError(f"the MCP server {group} cannot be asked what it offers: {error}") from error
        finally:
            await session.close()
    return Pins(servers=found)


async def _ask(client: Client, call: McpCall, args: Mapping[str, Json]) -> Json:
    match call.what:
        case "tool":
            return _result(call.name, await client.call_tool(call.name, dict(args)))
        case "resources":
            listed = await _all(client.list_resources, "resources")
            templates = await _all(client.list_resource_templates, "resource_templates")
            return [_brief(each, ("uri", "uriTemplate", "name", "title", "description")) for each in listed + templates]
        case "resource":
            read = await client.read_resource(str(args["uri"]))
            return [_contents(each) for each in read.contents]
        case "prompts":
            listed = await _all(client.list_prompts, "prompts")
            return [_brief(each, ("name", "title", "description", "arguments")) for each in listed]
        case "prompt":
            prompt = await client.get_prompt(str(args["name"]), args.get("arguments") or {})
            return [{"role": each.role, "content": _block(each.content)} for each in prompt.messages]


async def _all(listing: Any, key: str) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while len(found) < MAX_LISTED:
        page = await listing(cursor=cursor)
        found += getattr(page, key)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found[:MAX_LISTED]


def _result(name: str, result: CallToolResult) -> Json:
    blocks = [_block(each) for each in result.content]
    if result.is_error:
        said = "; ".join(each if isinstance(each, str) else str(each) for each in blocks)
        raise ToolError(f"{name} failed: {said or 'without a word'}", retry=False)
    if result.structured_content is not None:
        return result.structured_content
    return blocks[0] if len(blocks) == 1 else blocks or None


def _block(block: ContentBlock) -> Json:
    if isinstance(block, TextContent):
        return block.text
    return block.model_dump(mode="json", by_alias=True, exclude_none=True)


def _contents(contents: TextResourceContents | BlobResourceContents) -> Json:
    return contents.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})


def _brief(listed: Any, keys: tuple[str, ...]) -> Json:
    said = listed.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: said[key] for key in keys if key in said}
