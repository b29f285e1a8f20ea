"""The server where people decide: made of a Temporal client and what reads links."""

from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client
from temporalio.service import RPCError

from api.pages import message
from api.routes.decide import DecidePages
from contracts.errors import ServerUnreachable, UnknownRun
from runtime.links import Links

LOCAL = ("127.0.0.1", "localhost", "::1")

log = structlog.get_logger()


def make_app(client: Client, links: Links, host: str = LOCAL[0]) -> Starlette:
    """`host`: where it listens. It is called by that name, by this machine's and by that of the links, so that no page
    can pass off its own name as this server's."""
    named = urlsplit(links.base).hostname or host

    async def healthz(request: Request) -> Response:
        try:
            healthy = await client.service_client.check_health()
        except RPCError:
            healthy = False
        return JSONResponse({"temporal": "ok" if healthy else "unreachable"}, 200 if healthy else 503)

    return Starlette(
        routes=[*DecidePages(client, links).routes(), Route("/healthz", healthz)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL, host, named])],
        exception_handlers={
            HTTPException: _http_error,
            UnknownRun: _gone,
            ServerUnreachable: _unreachable,
            RPCError: _unreachable,
            Exception: _broken,
        },
    )


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    titles = {404: "There is no such page", 405: "This page cannot do that"}
    return message(status, titles.get(status, "That did not work"), "If a link brought you here, it may have been cut.")


async def _gone(request: Request, error: Exception) -> Response:
    return message(
        410, "This run is gone", "It ended so long ago that it is not kept any more. There is nothing to decide."
    )


async def _unreachable(request: Request, error: Exception) -> Response:
    log.warning("a page could not be shown", error=str(error))
    return message(
        503,
        "This cannot be shown just now",
        "What knows about it does not answer. Nothing was decided, and nothing is lost: the link stays good. "
        "Please try again in a minute.",
        again=True,
        retry_after=20,
    )


async def _broken(request: Request, error: Exception) -> Response:
    return message(500, "Something went wrong here", "It is in the server's log. The link stays good.", again=True)
