"""The commands of those who decide: what waits for them, and what they say to it."""

from datetime import UTC, datetime
from typing import Annotated, Any, cast

import typer
from rich.text import Text

from cli.approvals import deciding, in_whose_place, said_so_far, since_and_until
from cli.connection import connected
from cli.follow import marks_of
from cli.marks import Marks
from cli.options import AsJson, By, Run, carry_out
from cli.output import Exit, Output
from cli.parts import OpenPeople, Parts
from cli.repairs import received
from cli.values import actor_of, read_value
from contracts.errors import CallerError
from runtime.approvals import OpenApproval, waiting_for
from runtime.deciding import decision_on, send
from runtime.settings import load_settings

app = typer.Typer()

Step = Annotated[str | None, typer.Argument(metavar="[STEP]", help="The step; may be left out when only one waits.")]
Edit = Annotated[str | None, typer.Option("--edit", metavar="JSON", help="Other values, where the approval allows it.")]
Comment = Annotated[str, typer.Option("--comment", help="For the record.")]


@app.command("approve")
def _approve(
    run: Run, step: Step = None, by: By = None, comment: Comment = "", edit: Edit = None, as_json: AsJson = False
) -> int:
    """Approve what a run waits for."""
    edits = None if edit is None else read_value(edit, "--edit")
    return _say("approve", run, step, by, comment, as_json=as_json, edits=edits)


@app.command("reject")
def _reject(
    run: Run,
    step: Step = None,
    by: By = None,
    comment: Annotated[str, typer.Option("--comment", help="Why; a rejection needs a reason.")] = "",
    as_json: AsJson = False,
) -> int:
    """Reject what a run waits for."""
    if not comment.strip():
        raise CallerError("a rejection needs a reason; give it with --comment")
    return _say("reject", run, step, by, comment, as_json=as_json)


@app.command("withdraw")
def _withdraw(run: Run, step: Step = None, by: By = None, comment: Comment = "", as_json: AsJson = False) -> int:
    """Take back what you approved or handed over, while it is open."""
    return _say("withdraw", run, step, by, comment, as_json=as_json)


@app.command("claim")
def _claim(run: Run, step: Step = None, by: By = None, as_json: AsJson = False) -> int:
    """Keep a decision for yourself while you look into it."""
    return _say("claim", run, step, by, "", as_json=as_json)


@app.command("release")
def _release(
    run: Run,
    step: Step = None,
    by: By = None,
    comment: Annotated[str, typer.Option("--comment", help="Why; needed to lift a claim of somebody else.")] = "",
    as_json: AsJson = False,
) -> int:
    """Give back what you claimed, or lift what others claimed."""
    return _say("release", run, step, by, comment, as_json=as_json)


@app.command("delegate")
def _delegate(
    run: Run,
    step: Step = None,
    *,
    to: Annotated[str, typer.Option("--to", metavar="WHO", help="Who decides in your place.")],
    by: By = None,
    comment: Comment = "",
    as_json: AsJson = False,
) -> int:
    """Hand your say over to somebody else."""
    return _say("delegate", run, step, by, comment, as_json=as_json, to=actor_of(to, load_settings()))


@app.command("comment")
def _comment(
    run: Run,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that waits.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What everybody who is asked should read.")],
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Say something about what a run waits for, without deciding."""
    return _say("comment", run, step, by, text, as_json=as_json)


@app.command("inbox")
def _inbox(
    context: typer.Context,
    who: Annotated[str | None, typer.Option("--for", metavar="WHO", help="Else SUREFOOT_USER, the login name.")] = None,
    as_json: AsJson = False,
) -> int:
    """Show what waits for your decision, over all runs."""
    return carry_out(_show_inbox(Output.standard(as_json=as_json), cast("Parts", context.obj).people, who))


def _say(verb: str, run: str, step: str | None, by: str | None, comment: str, *, as_json: bool, **more: Any) -> int:
    return carry_out(_decide(Output.standard(as_json=as_json), verb, run, step, by, comment, **more))


async def _decide(
    output: Output, verb: str, run: str, step: str | None, by: str | None, comment: str, **more: Any
) -> Exit:
    settings = load_settings()
    async with connected(settings) as connection:
        client = connection.client
        message = await decision_on(
            client, run, step, decision=verb, by=actor_of(by, settings), comment=comment, **more
        )
        return received(output, run, message.step, await send(client, run, message))


async def _show_inbox(output: Output, people: OpenPeople, who: str | None) -> Exit:
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
