"""The commands of releases: which build gets new runs, whether histories replay and cases come out as before,
moving runs to a newer definition."""

from typing import Annotated, cast

import typer

from cli.options import AsJson, By, DeployAction, Reason, carry_out
from cli.output import Output
from cli.parts import Parts

app = typer.Typer()


@app.command("deploy")
def _deploy(
    action: Annotated[DeployAction, typer.Argument(help="What to do; without one, show the builds.")] = "status",
    build: Annotated[str | None, typer.Argument(metavar="[BUILD]", help="A build id, of ramp, promote, drain.")] = None,
    percent: Annotated[
        float | None, typer.Option("--percent", min=0, max=100, help="ramp: the share of new runs it gets.")
    ] = None,
    move: Annotated[bool, typer.Option("--move", help="drain: runs that wait go on with the current build.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="drain: until no run is left on it.")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Show builds of workers; ramp, promote, roll back or drain one."""
    from cli import deploy

    output = Output.standard(as_json=as_json)
    return carry_out(deploy.deploy(output, deploy.Order(action, build, percent, move=move, wait=wait), by))


@app.command("replay")
def _replay(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|FOLDER|RUN...]", help="Histories as JSON, or runs by id.")
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="N", min=1, max=1000, help="The newest N of the server too."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Replay histories on the code that lies here.

    Exit status 1 when one of them diverges.
    """
    from cli import replay

    return carry_out(replay.replay(Output.standard(as_json=as_json), words or [], last))


@app.command("migrate")
def _migrate(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="The runs' ids.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="FILE|PROCESS", help="The definition; else the process of that name.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change, or why it cannot.")] = False,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Move runs to a newer definition of their process.

    Only where what they have begun allows it.
    """
    from cli import migrate

    return carry_out(migrate.migrate(Output.standard(as_json=as_json), runs, to, by, reason, dry_run=dry_run))


@app.command("eval")
def _eval(
    context: typer.Context,
    processes: Annotated[
        list[str] | None, typer.Argument(metavar="[PROCESS...]", help="By name; else all with an evals.yaml.")
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", min=1, max=1000, help="Tries of each case.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Ask the models, and keep what they answer.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="What comes out is what later ones are held to.")] = False,
    as_json: AsJson = False,
) -> int:
    """Try a process on its cases; status 1 when worse than accepted."""
    from cli import evaluating

    output, parts = Output.standard(as_json=as_json), cast("Parts", context.obj)
    return carry_out(evaluating.evaluate(output, parts.evaluate, processes or [], runs, record=record, accept=accept))
