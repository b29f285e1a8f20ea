"""The demo: server, worker and console in one process, around one sample run that can be left and taken up again."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from rich.text import Text

from cli.connection import connected
from cli.decide import new_id, send
from cli.follow import follow, marks_of, print_run, screen_for
from cli.output import Exit, Output, command
from cli.panels import approval
from cli.picture import save_picture
from cli.prompt import Answer, ask_decision, question
from cli.runs import Observation, Watch, list_runs
from cli.start import check_input, start
from cli.values import read_value
from contracts.base import Json
from contracts.decisions import Decision
from contracts.errors import CallerError, Refused
from contracts.run import ENDED, Definition, RunView, Waiting
from contracts.settings import describe_model
from runtime.catalog import Catalog
from runtime.client import Connection, is_configured
from runtime.logging import configure_logging
from runtime.server import embedded_server
from runtime.settings import Settings, load_settings

PROCESS = "employee-onboarding"
SAMPLE = "sample.yaml"
LOG = "worker.log"
PATIENCE = timedelta(seconds=8)

RunWorker = Callable[[Settings, Connection, Catalog], AbstractAsyncContextManager[object]]
"""Runs a worker for the length of a block."""


@dataclass(frozen=True)
class Sample:
    definition: Definition
    input: Json


async def demo(output: Output, worker: RunWorker, process: str, *, yes: bool, svg: str | None = None) -> Exit:
    """Bring everything up, go through the sample run, take everything down."""
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    catalog = Catalog.load(settings.folders)
    sample = _sample(catalog, process)
    _cancel_on_hangup()
    if not output.as_json:
        output.say("starting a worker" if is_configured() else "starting a server and a worker")
    with (settings.home / LOG).open("a", encoding="utf-8") as log:
        configure_logging(settings, log)
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
    async with _everything(settings, catalog, worker) as connection:
        run, fresh = await _take_up(connection, settings, sample)
        header = _header(settings, connection, run, fresh=fresh)
        if not output.as_json:
            output.out.print(header, soft_wrap=True)
        try:
            seen = await _Console(output, connection, settings, yes=yes, svg=svg).attend(run, header)
        except asyncio.CancelledError:
            again = command("demo") if process == PROCESS else command("demo", "--process", process)
            output.say(f"\n{run} is safe on the server, nothing is lost; go on with `{again}`. Stopping...")
            raise
        print_run(seen, output)
        if not output.as_json:
            output.out.print(_links(connection, run), crop=False)
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
async def _everything(settings: Settings, catalog: Catalog, worker: RunWorker) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        if not is_configured():
            await stack.enter_async_context(embedded_server(settings))
        connection = await stack.enter_async_context(connected(settings))
        await stack.enter_async_context(worker(settings, connection, catalog))
        yield connection


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


class _Console:
    """Shows a run until it has ended, and has its approvals decided on the way."""

    def __init__(
        self, output: Output, connection: Connection, settings: Settings, *, yes: bool, svg: str | None
    ) -> None:
        self._output = output
        self._screen = screen_for(output)
        self._client = connection.client
        self._people = settings.people
        self._yes = yes
        self._svg = svg
        self._postponed: set[str] = set()

    async def attend(self, run: str, header: Text) -> Observation:
        asks = self._yes or self._output.can_ask
        while True:
            seen = await follow(self._client, run, self._screen, stop=self._is_asked if asks else None)
            if seen.ended:
                return seen
            waiting = self._open(seen.view)[0]
            if self._svg is not None:
                asked = question(next(iter(self._candidates(seen.view, waiting)), "user:NAME"))
                save_picture(seen, header, asked, Path(self._svg))
            if self._output.can_ask:
                self._show(seen, waiting)
            await (self._approve(seen.view, waiting) if self._yes else self._ask(seen.view, waiting))

    def _is_asked(self, seen: Observation) -> bool:
        """At the prompt the screen stands still, so what is about to be done is let to its end first, for a while."""
        open_ones = self._open(seen.view)
        if not open_ones or self._yes:
            return bool(open_ones)
        since = min(waiting.since for waiting in open_ones)
        return seen.view.status != "running" or datetime.now(UTC) - since > PATIENCE

    def _open(self, view: RunView) -> list[Waiting]:
        return [
            waiting for waiting in view.waiting if waiting.kind == "approval" and _key(waiting) not in self._postponed
        ]

    def _show(self, seen: Observation, waiting: Waiting) -> None:
        print_run(seen.without_waiting(), self._output)
        block = approval(seen.view, waiting, marks_of(self._output), datetime.now(UTC), commands=False)
        self._output.out.print("", block, "", sep="\n")

    async def _approve(self, view: RunView, waiting: Waiting) -> None:
        """--yes: as the first who may."""
        refused = "nobody is left who may"
        for person in self._candidates(view, waiting):
            self._output.say(f"--yes: approving {waiting.step} as {person}")
            try:
                await self._send(view, waiting, person, Answer("approve", "demo --yes"))
            except Refused as error:
                refused = str(error)
            else:
                return
        self._postponed.add(_key(waiting))
        self._output.say(f"{waiting.step} could not be approved: {refused}")

    async def _ask(self, view: RunView, waiting: Waiting) -> None:
        person = next(iter(self._candidates(view, waiting)), "user:NAME")
        asking = asyncio.create_task(ask_decision(self._output.out, person))
        elsewhere = asyncio.create_task(self._until_decided(view.run, _key(waiting)))
        try:
            await asyncio.wait((asking, elsewhere), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                self._output.say(f"\n{waiting.step} was decided elsewhere")
                return
            answer = asking.result()
        finally:
            for task in (asking, elsewhere):
                task.cancel()
        if answer.decision == "later":
            self._postponed.add(_key(waiting))
            return
        try:
            await self._send(view, waiting, person, answer)
        except Refused as error:
            self._output.say(f"refused: {error}")

    async def _until_decided(self, run: str, key: str) -> None:
        async for seen in Watch(self._client, run).changes():
            if not seen.silent and key not in {_key(waiting) for waiting in seen.view.waiting}:
                return

    async def _send(self, view: RunView, waiting: Waiting, person: str, answer: Answer) -> None:
        decision = Decision.model_validate(
            {
                "step": waiting.step,
                "decision": answer.decision,
                "by": person,
                "comment": answer.comment,
                "id": new_id(),
                "hash": waiting.hash,
            }
        )
        receipt = await send(self._client, view.run, decision)
        self._output.say(receipt.outcome)

    def _candidates(self, view: RunView, waiting: Waiting) -> list[str]:
        """Who may decide and has not; who started the run last, since rules often exclude them."""
        voted = {vote.by for vote in waiting.votes}
        people = [person for name in waiting.who for person in _members(self._people, name) if person not in voted]
        return sorted(dict.fromkeys(people), key=lambda person: person == view.started_by)


def _members(directory: Path, name: str) -> list[str]:
    """The users a `user:` or `group:` name stands for, as the directory of people has it."""
    kind, _, short = name.partition(":")
    if kind != "group":
        return [name]
    groups = (yaml.safe_load(directory.read_text("utf-8")) or {}).get("groups", {})
    return [f"user:{member}" for member in groups.get(short, ())]


def _key(waiting: Waiting) -> str:
    return f"{waiting.step} {waiting.hash} {len(waiting.votes)}"


def _header(settings: Settings, connection: Connection, run: str, *, fresh: bool) -> Text:
    lines = {
        "run": f"{run}  ({'started' if fresh else 'goes on where it was'})",
        "model": describe_model(settings.models, os.environ),
        "server": connection.address + (" (embedded)" if connection.embedded else ""),
        "web": connection.link(run) or "",
        "logs": str(settings.home / LOG),
    }
    text = Text()
    for name, value in lines.items():
        if value:
            text.append(f"{name:<7}", style="faint").append(f"{value}\n")
    return text


def _links(connection: Connection, run: str) -> Text:
    lines = ["", command("status", run)]
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
