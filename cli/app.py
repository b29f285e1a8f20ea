"""The commands as they are typed, and the one place where the program ends.

Each command imports what it does once it is carried out, so that no other waits for its imports.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn, cast

import typer
from typer.exceptions import TyperException

from cli import deciding, operating, releasing
from cli.groups import Grouped
from cli.options import DEMO_PROCESS, HOST, AsJson, By, Reason, Run, ToolsAction, carry_out
from cli.output import Exit, Output, status_of
from cli.parts import Parts
from contracts.board import ForcedState
from contracts.errors import CallerError, SurefootError
from contracts.run import RunStatus

app = typer.Typer(
    name="starter.py",
    cls=Grouped,
    help="Start runs of processes, decide, repair, look. Every command takes --json.",
    epilog="Exit status: 0 what was asked for holds; 1 the run failed; 2 the call was wrong; 3 no server answers.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("demo")
def _demo(
    context: typer.Context,
    process: Annotated[str, typer.Option("--process", help="Another process with a sample.yaml.")] = DEMO_PROCESS,
    yes: Annotated[bool, typer.Option("--yes", help="Approve what comes up, as whoever may.")] = False,
    as_json: AsJson = False,
    svg: Annotated[str | None, typer.Option("--svg", hidden=True, help="Save the screen that asks.")] = None,
) -> int:
    """Try it: server, worker and a sample run, in one terminal."""
    from cli import demo

    output = Output.standard(as_json=as_json)
    return carry_out(demo.demo(output, cast("Parts", context.obj).worker, process, yes=yes, svg=svg))


@app.command("run")
def _run(
    process: Annotated[str, typer.Argument(metavar="PROCESS|FILE", help="A process by name, or its file.")],
    given: Annotated[
        str | None, typer.Option("--input", metavar="X", help="A JSON or YAML file, inline JSON, or - for stdin.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--id", metavar="KEY", help="The run is PROCESS-KEY; used once, so it guards doubles.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    by: By = None,
    priority: Annotated[int | None, typer.Option(min=1, max=5, help="1 is served first.")] = None,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For whom it is; tenants are served in turns."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Start a run of a process."""
    from cli import commands

    output = Output.standard(as_json=as_json)
    return carry_out(commands.run(output, process, given, key, by, priority, tenant, wait=wait))


@app.command("status")
def _status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Until it ends; with --json a line for each event.")] = False,
    as_json: AsJson = False,
    svg: Annotated[str | None, typer.Option("--svg", hidden=True, help="Save the screen.")] = None,
) -> int:
    """Show a run: its steps, what it waits for, what is broken."""
    from cli import looking

    return carry_out(looking.status(Output.standard(as_json=as_json), run, watch=watch, svg=svg))


@app.command("list")
def _list(
    status: Annotated[RunStatus | None, typer.Option("--status", help="Only those.")] = None,
    process: Annotated[str | None, typer.Option("--process", help="Only its runs.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List runs, newest first, ended ones too."""
    from cli import looking

    return carry_out(looking.show_list(Output.standard(as_json=as_json), status, process, limit))


@app.command("log")
def _log(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run's id; left out: events of all runs.")
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hold the record to its hashes; of an exported file too, in place of RUN.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HASH", help="With --verify: a hash kept elsewhere; it has to be there."),
    ] = None,
    step: Annotated[str | None, typer.Option("--step", help="Only of this step and what is inside it.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only these, such as 'approval.*'.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Only what they did, such as user:alice.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Only from then: 7d, or a time.")] = None,
    process: Annotated[str | None, typer.Option("--process", help="Without RUN: only of its runs.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Without RUN: the newest so many.")] = 1_000,
    execution: Annotated[
        str | None,
        typer.Option("--execution", metavar="ID", help="An earlier execution of a run whose id was used again."),
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print JSON Lines: an exact event in each.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", dir_okay=False, help="Write JSON Lines to a file.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run ends.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show a run's record: what happened, by whom, why; or verify it."""
    from cli import log

    output, records = Output.standard(as_json=as_json), cast("Parts", context.obj).records
    if run is None and (verify or follow or execution):
        raise CallerError("--verify, --follow and --execution are of one run; give its id")
    if head is not None and not verify:
        raise CallerError("--head goes with --verify")
    wanted = log.Wanted(run, execution, process, since, step, kind, by, limit)
    if verify:
        return carry_out(log.verify(output, records, wanted, head))
    return carry_out(log.show_log(output, records, wanted, jsonl=jsonl, export=export, follow=follow))


app.add_typer(deciding.app)
app.add_typer(operating.app)


@app.command("event")
def _event(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Words joined by dots, such as order.paid.")],
    data: Annotated[
        str, typer.Argument(metavar="JSON", help="A JSON or YAML file, inline JSON, or - for stdin.")
    ] = "{}",
    key: Annotated[str | None, typer.Option("--key", help="What it is about, for steps that wait with a key.")] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The same id again is the same event, and counts once.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Publish an event, for steps and processes that wait for it."""
    from cli import commands
    from cli.values import read_value

    return carry_out(
        commands.event(Output.standard(as_json=as_json), topic, read_value(data, "JSON"), key, event_id, by)
    )


@app.command("codec")
def _codec(
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Where it listens.")] = HOST,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Else encryption.codec_port; 0 for a free one.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", metavar="URL", help="Another page that may call it; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Serve the codec that decrypts for Temporal Web and its CLI."""
    from cli import codec

    return carry_out(codec.serve(Output.standard(as_json=as_json), host, port, origin or ()))


@app.command("serve")
def _serve(
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Where it listens.")] = HOST,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Else links.port; 0 for a free one.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Serve the pages that links to decide open."""
    from cli import serve

    return carry_out(serve.serve(Output.standard(as_json=as_json), host, port))


@app.command("link")
def _link(
    run: Run,
    person: Annotated[str, typer.Option("--for", metavar="WHO", help="Who decides by it.")],
    step: Annotated[
        str | None, typer.Argument(metavar="[STEP]", help="The step; may be left out when only one waits.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it lasts, 2d or 4h; else as the approval.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print a link by which one person decides, once."""
    from cli import serve
    from cli.values import read_duration, read_person

    lasts = None if expires is None else read_duration(expires, "--expires")
    return carry_out(serve.link(Output.standard(as_json=as_json), run, step, read_person(person, "--for"), lasts))


@app.command("validate")
def _validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Process files, or processes by name.")],
    as_json: AsJson = False,
) -> int:
    """Check process files: every mistake at once, with its place."""
    from cli import commands

    return carry_out(commands.validate(Output.standard(as_json=as_json), files))


@app.command("graph")
def _graph(
    word: Annotated[str, typer.Argument(metavar="FILE|RUN", help="A process file or name; or a run, coloured.")],
    as_json: AsJson = False,
) -> int:
    """Draw a process or a run as a Mermaid graph."""
    from cli import commands

    return carry_out(commands.graph(Output.standard(as_json=as_json), word))


@app.command("models")
def _models(
    context: typer.Context,
    alias: Annotated[str | None, typer.Argument(metavar="[ALIAS]", help="A model alias of the settings.")] = None,
    state: Annotated[
        ForcedState | None, typer.Argument(help="open: ask it no more; close: ask it whatever happens; auto: as found.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Show models, limits and breakers; or force a breaker."""
    from cli import models

    board = cast("Parts", context.obj).board
    output = Output.standard(as_json=as_json)
    if alias is None:
        return carry_out(models.show_models(output, board))
    if state is None:
        raise CallerError(f"say what to do with {alias}: open, close or auto; without an alias all are shown")
    return carry_out(models.force_model(output, board, alias, state, by, reason))


@app.command("people")
def _people(context: typer.Context, as_json: AsJson = False) -> int:
    """Check and show the directory of people, and who is away."""
    from cli import people

    return carry_out(people.show_people(Output.standard(as_json=as_json), cast("Parts", context.obj).people))


@app.command("notices")
def _notices(
    context: typer.Context,
    action: Annotated[Literal["list", "resend"], typer.Argument(help="List them; or send one again.")] = "list",
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="resend: which one.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that nobody tries to deliver any more.")] = False,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only of this run.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> int:
    """Show what people were told, and what could not be delivered."""
    from cli import notices

    output, desk = Output.standard(as_json=as_json), cast("Parts", context.obj).notices
    if (action == "resend") != (identity is not None):
        raise CallerError("say which notice to resend: `starter.py notices resend ID`; `notices --dead` lists them")
    if identity is not None:
        return carry_out(notices.resend(output, desk, identity))
    return carry_out(notices.show_notices(output, desk, run, limit, dead=dead))


@app.command("tools")
def _tools(
    context: typer.Context,
    action: Annotated[ToolsAction, typer.Argument(help="list them; pin what MCP servers offer; check the pins.")],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE...]", help="tools.yaml files or their folders; else all.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the tools of tools.yaml files; pin what MCP servers offer."""
    from cli import tools

    output = Output.standard(as_json=as_json)
    return carry_out(tools.tools(output, cast("Parts", context.obj).offers, action, files or ()))


app.add_typer(releasing.app)


def call(arguments: Sequence[str], parts: Parts) -> int:
    """Carry out a command; its exit status. Everything a user can cause ends in one message."""
    output = Output.standard(as_json="--json" in arguments)
    try:
        command = typer.main.get_command(app)
        return int(
            command.main(list(arguments) or ["--help"], prog_name="starter.py", standalone_mode=False, obj=parts) or 0
        )
    except SurefootError as error:
        output.fail(error)
        return status_of(error)
    except TyperException as error:
        output.fail(
            CallerError(
                f"{error.format_message().rstrip('.')}; `starter.py --help` and `starter.py COMMAND --help` tell more"
            )
        )
        return Exit.WRONG_CALL
    except BrokenPipeError:
        return Exit.HOLDS  # Whoever read our output has read enough.
    except OSError as error:
        output.fail(CallerError(str(error)))
        return Exit.WRONG_CALL
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Exit.INTERRUPTED


def main(parts: Parts) -> NoReturn:
    """Carry out the command of this process, and end it."""
    from runtime.quiet import hush_the_sdk

    hush_the_sdk()
    status = call(sys.argv[1:], parts)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            continue
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    os._exit(status)
