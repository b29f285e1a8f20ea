"""The demo: server, worker and console in one process, around one sample run that can be left and taken up again."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from temporalio.client import Client

from cli.attend import Attendant
from cli.connection import connected
from cli.follow import print_run
from cli.listening import address_of, listening_anywhere
from cli.options import DEMO_PROCESS
from cli.output import Exit, Output, command, from_here
from cli.parts import RunWorker
from cli.start import check_input, start
from cli.values import read_value
from contracts.base import Json
from contracts.errors import CallerError
from contracts.run import ENDED, Definition
from contracts.settings import describe_model
from runtime.catalog import Catalog
from runtime.client import Connection, is_configured
from runtime.links import Links
from runtime.logging import configure_logging, log_what_the_sdk_says
from runtime.runs import list_runs
from runtime.server import HOST, embedded_server
from runtime.settings import Settings, load_settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

SAMPLE = "sample.yaml"
LOG = "worker.log"


@dataclass(frozen=True)
class Sample:
    definition: Definition
    input: Json


async def demo(output: Output, worker: RunWorker, process: str, *, yes: bool, svg: str | None = None) -> Exit:
    """Bring everything up, go through the sample run, take everything down."""
    settings = load_settings()
    if not output.as_json:
        output.say("starting a worker" if is_configured() else "starting a server and a worker")
    settings.home.mkdir(parents=True, exist_ok=True)
    catalog = Catalog.load(settings.folders)
    sample = _sample(catalog, process)
    _cancel_on_hangup()
    with (settings.home / LOG).open("a", encoding="utf-8") as log:
        configure_logging(settings, log)
        log_what_the_sdk_says()
        return await _demo(output, worker, settings, catalog, sample, yes=yes, svg=svg)


async def _demo(
    output: Output,
    worker: RunWorker,
    settings: Settings,
    catalog: Catalog,
    sample: Sample,
    *,
    yes: bool,
    svg: str | None,
) -> Exit:
    process = sample.definition.process.process
    async with _everything(settings, catalog, worker) as (connection, links):
        run, fresh = await _take_up(connection, settings, sample)
        header = _header(settings, connection, run, fresh=fresh)
        if not output.as_json:
            output.out.print(header, soft_wrap=True)
        try:
            seen = await Attendant(output, connection.client, links, yes=yes, svg=svg).attend(run, header)
        except asyncio.CancelledError:
            again = command("demo") if process == DEMO_PROCESS else command("demo", "--process", process)
            output.say(f"\n{run} is safe on the server, nothing is lost. Stopping... To go on:\n  {again}")
            raise
        print_run(seen, output)
        stays = not connection.embedded or (output.can_ask and not yes)
        if not output.as_json:
            output.out.print(_links(connection, run, stays=stays), crop=False)
        status = Exit.HOLDS if seen.view.status == "completed" else Exit.RUN_FAILED
        if output.can_ask and not yes:
            await _until_interrupted(output)
    return status


def _sample(catalog: Catalog, process: str) -> Sample:
    definition = catalog.definition(process)
    file = catalog.files[process].parent / SAMPLE
    if not file.is_file():
        raise CallerError(f"{file} is missing; write the sample input of {process} there, or use another --process")
    value = read_value(str(file), "sample")
    check_input(definition, value)
    return Sample(definition, value)


@asynccontextmanager
async def _everything(
    settings: Settings, catalog: Catalog, worker: RunWorker
) -> AsyncIterator[tuple[Connection, Links]]:
    async with AsyncExitStack() as stack:
        pages = stack.enter_context(listening_anywhere(HOST, settings.links.port))
        settings = _leading_to(settings, address_of(pages, HOST))
        links = Links.open(settings, os.environ)
        if not is_configured():
            await stack.enter_async_context(embedded_server(settings))
        connection = await stack.enter_async_context(connected(settings))
        await stack.enter_async_context(worker(settings, connection, catalog))
        serving = asyncio.create_task(_serve(connection.client, links, pages))
        stack.push_async_callback(_end, serving)
        yield connection, links


def _leading_to(settings: Settings, address: str) -> Settings:
    """Settings whose links lead here, unless they say where links lead."""
    links = settings.links
    return settings.model_copy(update={"links": links.model_copy(update={"url": links.url or address})})


async def _serve(client: Client, links: Links, pages: socket.socket) -> None:
    """The pages where people decide, whose imports shall not hold up the first screen."""
    make_app, serving = await asyncio.to_thread(_import_pages)
    async with serving(make_app(client, links), pages):
        await asyncio.Event().wait()


def _import_pages() -> tuple["Callable[..., Starlette]", Callable[..., AbstractAsyncContextManager[None]]]:
    from api.app import make_app
    from api.serving import serving

    return make_app, serving


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _take_up(connection: Connection, settings: Settings, sample: Sample) -> tuple[str, bool]:
    """The demo's unfinished run, or a fresh one; and whether it is fresh."""
    process = sample.definition.process.process
    stem = f"{process}-demo"
    runs, _ = await list_runs(connection.client, process=process, limit=1000)
    numbers = {int(match[1] or 1): run for run in runs if (match := re.fullmatch(rf"{stem}(?:-(\d+))?", run.run))}
    last = max(numbers, default=0)
    if last and numbers[last].status not in ENDED:
        return numbers[last].run, False
    run = stem if last == 0 else f"{stem}-{last + 1}"
    await start(connection.client, settings.task_queue, sample.definition, sample.input, run=run, by=settings.actor)
    return run, True


def _header(settings: Settings, connection: Connection, run: str, *, fresh: bool) -> Text:
    lines = {
        "run": f"{run}  ({'started' if fresh else 'goes on where it was'})",
        "model": describe_model(settings.models, os.environ),
        "server": connection.address + (" (embedded)" if connection.embedded else ""),
        "web": connection.link(run) or "",
        "logs": from_here(settings.home / LOG),
    }
    text = Text()
    for name, value in lines.items():
        if value:
            text.append(f"{name:<7}", style="faint").append(f"{value}\n")
    return text


def _links(connection: Connection, run: str, *, stays: bool) -> Text:
    """`stays`: whether there is a server to ask when this program has ended."""
    lines = ["", *([] if stays else ["While a worker runs (make worker, or worker.py):"]), command("status", run)]
    lines += [link] if (link := connection.link(run)) else []
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")


async def _until_interrupted(output: Output) -> None:
    output.say("\nThe server runs on, so that the link opens. Ctrl-C stops it.")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        output.say("\nStopping...")


def _cancel_on_hangup() -> None:
    """A closed terminal or a polite kill stops worker and server in order, like Ctrl-C."""
    if task := asyncio.current_task():
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
