"""The commands that serve the pages where people decide, and make a link to one."""

import os
from datetime import UTC, datetime, timedelta

import uvicorn

from api.app import make_app
from api.serving import server_config
from cli.connection import connected
from cli.listening import address_of, listening
from cli.output import Exit, Output
from contracts.base import format_duration
from contracts.errors import CallerError
from contracts.plain import some
from runtime.client import is_loopback
from runtime.deciding import asked_now
from runtime.links import Links
from runtime.server import HOST
from runtime.settings import load_settings


async def serve(output: Output, host: str, port: int | None) -> Exit:
    """Answer until told to stop.

    Raises:
        CallerError: other machines could reach it and links do not lead to it, or the port is taken.
        SettingsInvalid: a key of links is not set.
    """
    settings = load_settings()
    if settings.links.url is None and not is_loopback(host):
        raise CallerError(
            f"--host {host}: other machines can reach it, but links lead to {settings.links.base}; set links.url to "
            f"the https:// address that people use, or use {HOST}"
        )
    links = Links.open(settings, os.environ)
    wanted = settings.links.port if port is None else port
    async with connected(settings) as connection:
        with listening(host, wanted) as taken:
            address = address_of(taken, host)
            output.serving(
                f"decisions at {address}, by links to {links.base}; Ctrl-C stops it",
                {"address": address, "links": links.base},
            )
            app = make_app(connection.client, links, host)
            await uvicorn.Server(server_config(app)).serve([taken])
    return Exit.HOLDS


async def link(output: Output, run: str, step: str | None, person: str, lasts: timedelta | None) -> Exit:
    """Print a link by which one person decides. `person`: as `user:bob`.

    Raises:
        CallerError: nothing waits for a decision, it is not this person's, or the link would last too long.
        ServerUnreachable: no worker answers.
    """
    settings = load_settings()
    longest = settings.links.expires
    if lasts is not None and not timedelta(0) < lasts <= longest:
        most = format_duration(longest)
        raise CallerError(f"--expires {format_duration(lasts)}: write more than 0s and at most {most} (links.expires)")
    async with connected(settings) as connection:
        view, waiting = await asked_now(connection.client, run, step)
    if waiting is None:
        others = some([each.step for each in view.waiting if each.kind == "approval"]) or "nothing"
        raise CallerError(f"{step} of {run} does not wait for a decision; {others} does")
    if person not in waiting.people:
        people = ", ".join(waiting.people) or "nobody"
        raise CallerError(
            f"a decision of {person} on {waiting.step} of {run} would not count now; it waits for {people}"
        )
    ends = [waiting.until] if waiting.until else []
    ends += [datetime.now(UTC) + lasts] if lasts else []
    made = Links.open(settings, os.environ).link_for(
        run, waiting.step, waiting.hash or "", person, min(ends, default=None)
    )
    if output.as_json:
        output.document({"run": run, "step": waiting.step, "for": person, "link": made})
    else:
        output.out.file.write(f"{made}\n")  # as it is, however narrow the terminal
    return Exit.HOLDS
