"""Attending a run at the console: shown until it has ended, its approvals decided on the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.text import Text
from temporalio.client import Client

from cli.approvals import approval, first_asked
from cli.follow import follow, marks_of, screen_for
from cli.output import Output
from cli.panels import run_screen
from cli.picture import save_picture
from cli.prompt import Answer, ask_decision, question
from contracts.decisions import Decision
from contracts.errors import Refused
from contracts.run import RunView, Waiting
from runtime.deciding import new_id, send
from runtime.links import Links
from runtime.watch import Observation, Watch

PATIENCE = timedelta(seconds=8)
"""At the prompt the screen stands still, so what is being done is let to its end first, for so long at most."""


class Attendant:
    """Shows a run until it has ended, and has its approvals decided on the way."""

    def __init__(self, output: Output, client: Client, links: Links, *, yes: bool, svg: str | None) -> None:
        self._output = output
        self._links = links
        self._screen = screen_for(output)
        self._client = client
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
                asked = question(first_asked(waiting))
                save_picture(seen, header, asked, Path(self._svg))
            if self._output.can_ask:
                self._show(seen, waiting)
            await (self._approve(seen.view, waiting) if self._yes else self._ask(seen.view, waiting))

    def _is_asked(self, seen: Observation) -> bool:
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
        out, marks, now = self._output.out, marks_of(self._output), datetime.now(UTC)
        out.print(run_screen(seen.without_waiting(), marks, now, width=out.width, asks=True), crop=False)
        out.print("", approval(seen.view, waiting, marks, now, commands=False), "", sep="\n")
        if waiting.people and waiting.hash:
            link = self._links.link_for(seen.view.run, waiting.step, waiting.hash, waiting.people[0], waiting.until)
            out.print(Text(f"Or in a browser: {link}\n"), soft_wrap=True)

    async def _approve(self, view: RunView, waiting: Waiting) -> None:
        """--yes: as the first who may."""
        refused = "nobody is left who may"
        for person in waiting.people:
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
        person = first_asked(waiting)
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


def _key(waiting: Waiting) -> str:
    return f"{waiting.step} {waiting.hash} {len(waiting.votes)}"
