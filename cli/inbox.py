"""What the commands of those who decide do: say something to an approval, and show all that waits for somebody."""

from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from cli.approvals import deciding, in_whose_place, said_so_far, since_and_until
from cli.connection import connected
from cli.follow import marks_of
from cli.marks import Marks
from cli.output import Exit, Output
from cli.parts import OpenPeople
from cli.repairs import received
from cli.values import actor_of
from runtime.approvals import OpenApproval, waiting_for
from runtime.deciding import decision_on, send
from runtime.settings import load_settings


async def decide(
    output: Output, verb: str, run: str, step: str | None, by: str | None, comment: str, **more: Any
) -> Exit:
    settings = load_settings()
    async with connected(settings) as connection:
        client = connection.client
        message = await decision_on(
            client, run, step, decision=verb, by=actor_of(by, settings), comment=comment, **more
        )
        return received(output, run, message.step, await send(client, run, message))


async def show_inbox(output: Output, people: OpenPeople, who: str | None) -> Exit:
    settings = load_settings()
    person, now = actor_of(who, settings), datetime.now(UTC)
    async with people(settings) as directory:
        names = (await directory.everyone()).asked_as(person, now)
    async with connected(settings) as connection:
        found, silent = await waiting_for(connection.client, person, names)
    marks = marks_of(output)
    shown = Text("\n\n").join(_block(each, person, marks, now) for each in found)
    if not found:
        shown = Text(f"nothing waits for {person}")
    if output.as_json:
        output.document(
            {"for": person, "approvals": [each.model_dump(mode="json") for each in found], "silent": silent}
        )
    else:
        output.out.print(shown, soft_wrap=True)
    if silent:
        output.say(f"{len(silent)} runs did not answer, {silent[0]} first; is a worker running?")
    return Exit.HOLDS


def _block(found: OpenApproval, person: str, marks: Marks, now: datetime) -> Text:
    waiting = found.waiting
    text = Text.assemble((f"{marks.icon('waiting')} ", "waiting"), (waiting.title, "bold"))
    text.append(f"\n  {found.run}  {waiting.step}  {since_and_until(waiting, now)}", style="faint")
    if place := in_whose_place(waiting, person):
        text.append(f"\n  {place}")
    for name, said in said_so_far(waiting, now):
        for line in said.plain.splitlines():
            text.append(f"\n  {name}: {line}", style=said.style)
    for line in deciding(found.run, waiting, person):
        text.append(f"\n  {line}", style="command")
    return text
