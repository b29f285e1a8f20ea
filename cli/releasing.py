"""The commands of releases: which build gets new runs, whether histories replay, moving runs to a newer definition."""

from typing import Annotated

import typer

from cli import deploy, migrate, replay
from cli.options import AsJson, By, Reason, carry_out
from cli.output import Output

app = typer.Typer()


@app.command("deploy")
def _deploy(
    action: Annotated[deploy.Action, typer.Argument(help="What to do; without one, show the builds.")] = "status",
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
    return carry_out(migrate.migrate(Output.standard(as_json=as_json), runs, to, by, reason, dry_run=dry_run))
