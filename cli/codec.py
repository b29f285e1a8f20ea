"""The command that serves the codec endpoint."""

import os
from collections.abc import Sequence

import uvicorn

from cli.listening import address_of, listening
from cli.output import Exit, Output
from contracts.errors import CallerError
from contracts.secrets import read_secret
from runtime.client import data_converter, is_loopback, temporal_config, web_address
from runtime.codec_server import codec_app
from runtime.server import HOST, UI_PORT, find_server
from runtime.settings import Settings, load_settings
from runtime.storage import close_storage


async def serve(output: Output, host: str, port: int | None, origins: Sequence[str]) -> Exit:
    """Answer until told to stop.

    Raises:
        CallerError: other machines could reach it and nothing guards it, or the port is taken.
        SettingsInvalid: a key or the token is not set.
    """
    settings = load_settings()
    reference = settings.encryption.codec_token
    token = read_secret(reference, os.environ, "encryption.codec_token") if reference else None
    if token is None and not is_loopback(host):
        raise CallerError(f"--host {host}: other machines can reach it; set encryption.codec_token, or use {HOST}")
    wanted = settings.encryption.codec_port if port is None else port
    converter = data_converter(settings)
    allowed = (*_pages(settings), *origins)
    try:
        with listening(host, wanted) as taken:
            address = address_of(taken, host)
            output.serving(
                f"codec endpoint at {address}, for pages of {', '.join(allowed)}; Ctrl-C stops it",
                {"address": address, "pages": list(allowed)},
            )
            # Behind a guard of its own it is called by whatever name that has.
            hosts = ("127.0.0.1", "localhost", "::1", host) if token is None else ("*",)
            app = codec_app(converter, hosts, allowed, token)
            await uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).serve([taken])
    finally:
        await close_storage(converter)
    return Exit.HOLDS


def _pages(settings: Settings) -> tuple[str, ...]:
    """Where Temporal Web is: set, or of the embedded server, which is usually on the usual port."""
    server = find_server(settings)
    ports = {UI_PORT, int(server.ui.rpartition(":")[2]) if server else UI_PORT}
    embedded = tuple(f"http://{name}:{port}" for port in sorted(ports) for name in (HOST, "localhost"))
    web = web_address(settings, temporal_config())
    return (web, *embedded) if web else embedded
