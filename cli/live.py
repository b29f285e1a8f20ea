"""What agents do and say, as it happens: lines for people, JSON Lines for programs."""

from collections.abc import Iterator
from contextlib import aclosing

from pydantic_core import to_json
from rich.text import Text
from temporalio.client import Client

from cli.output import Exit, Output
from cli.tree import one_line
from contracts.base import Json
from contracts.live import (
    Answered,
    LiveEvent,
    Retried,
    RunEnded,
    Said,
    TextAdded,
    ToolEnded,
    ToolStarted,
)
from runtime.live import follow

LINE = 100
"""Characters of speech that make a line, when no line ends before."""


async def print_events(output: Output, client: Client, run: str) -> Exit:
    """Each event as one line of JSON, until the run has ended."""
    status = "running"
    async with aclosing(follow(client, run)) as events:
        async for event in events:
            output.out.file.write(event.model_dump_json() + "\n")
            output.out.file.flush()
            status = event.status if isinstance(event, RunEnded) else status
    return Exit.HOLDS if status == "completed" else Exit.RUN_FAILED


class AgentLines:
    """Lines of what agents do. Text is printed as it comes, by whole lines; what was seen of it is not repeated when
    the message is complete."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        self._heard: dict[str, str] = {}

    def lines(self, event: LiveEvent) -> Iterator[Text]:
        match event:
            case TextAdded():
                yield from self._text(event)
            case Said():
                yield from self._said(event)
            case Retried():
                self._forget(event.step)
                what = event.tool or f"turn {event.turn}"
                yield _line(event.step, f"{what}: try {event.attempt} after {one_line(event.reason)}; start over")
            case ToolStarted():
                yield _line(event.step, f"{event.tool} {_brief(event.arguments)}".rstrip())
            case ToolEnded() if event.error:
                yield _line(event.step, f"{event.tool} failed: {one_line(event.error)}")
            case Answered():
                yield _line(event.step, f"answered after {event.turns} turn{'s' if event.turns != 1 else ''}")
            case _:
                return

    def _text(self, event: TextAdded) -> Iterator[Text]:
        self._heard[event.step] = self._heard.get(event.step, "") + event.text
        text = self._open.get(event.step, "") + ("... " if event.skipped else "") + event.text
        *whole, rest = text.split("\n")
        while len(rest) > LINE:
            cut = rest.rfind(" ", 0, LINE) + 1 or LINE
            whole, rest = [*whole, rest[:cut]], rest[cut:]
        self._open[event.step] = rest
        for line in whole:
            if line.strip():
                yield _line(event.step, f"says: {one_line(line)}")

    def _said(self, event: Said) -> Iterator[Text]:
        heard, rest = self._heard.get(event.step, ""), self._open.get(event.step, "")
        if event.text.startswith(heard):
            rest += event.text[len(heard) :]
        self._forget(event.step)
        for line in rest.splitlines():
            if line.strip():
                yield _line(event.step, f"says: {one_line(line)}")

    def _forget(self, step: str) -> None:
        self._open.pop(step, None)
        self._heard.pop(step, None)


def _brief(arguments: Json) -> str:
    return to_json(arguments).decode()[:LINE] if arguments else ""


def _line(step: str, text: str) -> Text:
    return Text.assemble(f"          {step}: ", (text, "faint"))
