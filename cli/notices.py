"""`starter.py notices`: what people were told, and what could not be delivered."""

from collections.abc import Sequence

from rich.table import Column, Table
from rich.text import Text

from cli.output import Exit, Output
from cli.parts import OpenNotices
from contracts.errors import CallerError
from contracts.notices import Letter, Undelivered
from contracts.record import RecordsUnavailable
from runtime.settings import load_settings

STYLES = {"delivered": "completed", "trying": "waiting", "dead": "attention"}


async def show_notices(output: Output, open_notices: OpenNotices, run: str | None, limit: int, *, dead: bool) -> Exit:
    async with open_notices(load_settings()) as desk:
        try:
            letters = await desk.letters(dead=dead, run=run, limit=limit)
        except RecordsUnavailable as error:
            raise CallerError(str(error)) from error
    if not letters and not output.as_json:
        output.say("no dead letters" if dead else "nobody was told anything; channels are the setting `notices`")
        return Exit.HOLDS
    output.show(_table(letters), {"notices": [letter.model_dump(mode="json") for letter in letters]})
    return Exit.HOLDS


async def resend(output: Output, open_notices: OpenNotices, identity: str) -> Exit:
    async with open_notices(load_settings()) as desk:
        try:
            await desk.resend(identity)
        except Undelivered as error:
            raise CallerError(f"{identity} was not delivered: {error}") from error
        except RecordsUnavailable as error:
            raise CallerError(str(error)) from error
    output.show(Text(f"{identity} is delivered"), {"id": identity, "state": "delivered"})
    return Exit.HOLDS


def _table(letters: Sequence[Letter]) -> Table:
    table = Table(Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))
    for letter in letters:
        to = f" to {letter.recipient}" if letter.recipient else ""
        at = f"{letter.changed.astimezone():%Y-%m-%d %H:%M}"
        what = Text.assemble(
            (letter.state, STYLES[letter.state]), f" {letter.kind} by {letter.channel}{to}, ", (at, "faint")
        )
        table.add_row(Text(letter.id, style="name"), what)
        table.add_row("", Text(f"{letter.run}, event {letter.number}, {letter.attempts} attempts", style="faint"))
        if letter.error:
            table.add_row("", Text(letter.error, style="attention"))
    return table
