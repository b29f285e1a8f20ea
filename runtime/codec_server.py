"""The codec endpoint: shows Temporal Web and the Temporal CLI what is encrypted, or lies outside, to those it trusts.

Its protocol is Temporal's: POST /encode and /decode, JSON `{"payloads": [...]}` in and out.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import DataConverter

from contracts.errors import PayloadUnavailable

Transform = Callable[[Payloads], Awaitable[None]]


def codec_app(converter: DataConverter, hosts: Sequence[str], origins: Sequence[str], token: str | None) -> Starlette:
    """`hosts`: names it may be called by, so that no page can pass off its own name as this machine. `origins`: pages
    that may read its answers. `token`: what callers must carry as `Authorization: Bearer`."""

    def answers(transform: Transform) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if token is not None and not _carries(request, token):
                return _refused(401, "Authorization: Bearer with the token of encryption.codec_token is needed")
            try:
                payloads = Parse(await request.body(), Payloads())
                await transform(payloads)
            except (ParseError, UnicodeDecodeError) as error:
                return _refused(400, f'the body is not {{"payloads": [...]}}: {error}')
            except PayloadUnavailable as error:
                return _refused(400, str(error))
            return Response(MessageToJson(payloads, indent=None), media_type="application/json")

        return answer

    return Starlette(
        routes=[
            Route("/encode", answers(lambda payloads: _encode(converter, payloads)), methods=["POST"]),
            # The SDK decodes to values only where it is public; people want the payload, with its metadata.
            Route("/decode", answers(converter._transform_inbound_payloads), methods=["POST"]),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["POST"],
                allow_headers=["content-type", "x-namespace", "authorization", "authorization-extras"],
                allow_credentials=True,
                allow_private_network=True,
            ),
        ],
    )


async def _encode(converter: DataConverter, payloads: Payloads) -> None:
    codec = converter.payload_codec
    encoded: list[Payload] = await codec.encode(payloads.payloads) if codec else list(payloads.payloads)
    del payloads.payloads[:]
    payloads.payloads.extend(encoded)


def _carries(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message}, status_code=status)
