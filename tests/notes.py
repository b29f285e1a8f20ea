"""The MCP server of notes over HTTP, in this process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from tests import mcp_server


@asynccontextmanager
async def open_notes() -> AsyncIterator[int]:
    """Its port. It listens from the start, and has the notes that it begins with, whoever wrote some before."""
    mcp_server.notes.clear()
    mcp_server.notes.update(mcp_server.FIRST)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = mcp_server.server.streamable_http_app()
        serving = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        task = asyncio.create_task(serving.serve(sockets=[listening]))
        yield listening.getsockname()[1]
        serving.should_exit = True
        await task
