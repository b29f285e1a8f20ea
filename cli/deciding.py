"""The commands of those who decide: what waits for them, and what they say to it."""

from typing import Annotated, Any, cast

import typer

from cli.options import AsJson, By, Run, carry_out
from cli.output import Output
from cli.parts import Parts
from contracts.errors import CallerError

app = typer.Typer()

Step = Annotated[str | None, typer.Argument(metavar="[STEP]", help="The step; may be left out when only one waits.")]
Edit = Annotated[str | None, typer.Option("--edit", metavar="JSON", help="Other values, where the approval allows it.")]
Comment = Annotated[str, typer.Option("--comment", help="For the record.")]


@app.command("approve")
def _approve(
    run: Run, step: Step = None, by: By = None, comment: Comment = "", edit: Edit = None, as_json: AsJson = False
) -> int:
    """Approve what a run waits for."""
    from cli.values import read_value

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
    from cli.values import actor_of
    from runtime.settings import load_settings

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
    from cli import inbox

    return carry_out(inbox.show_inbox(Output.standard(as_json=as_json), cast("Parts", context.obj).people, who))


def _say(verb: str, run: str, step: str | None, by: str | None, comment: str, *, as_json: bool, **more: Any) -> int:
    from cli import inbox

    return carry_out(inbox.decide(Output.standard(as_json=as_json), verb, run, step, by, comment, **more))
