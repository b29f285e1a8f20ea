"""The commands as they are typed, and the one place where the program ends."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Literal, NoReturn, cast, get_args

import typer
from typer.exceptions import TyperException

from cli import commands, deciding, demo, many, models
from cli import tools as tool_files
from cli.options import AsJson, By, Reason, Run
from cli.output import Exit, Output, status_of
from cli.parts import Parts
from cli.values import read_duration, read_person, read_value
from contracts.board import ForcedState
from contracts.errors import CallerError, SurefootError
from contracts.run import RunStatus
from runtime.server import HOST
from runtime.settings import load_settings

app = typer.Typer(
    name="starter.py",
    help="Start runs of processes, decide, repair, look. Every command takes --json.",
    epilog="Exit status: 0 what was asked for holds; 1 the run failed; 2 the call was wrong; 3 no server answers.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


Action = Literal["retry", "amend", "skip", "complete", "replan", "abort"]


@app.command("demo")
def _demo(
    context: typer.Context,
    process: Annotated[str, typer.Option("--process", help="Another process with a sample.yaml.")] = demo.PROCESS,
    yes: Annotated[bool, typer.Option("--yes", help="Approve what comes up, as whoever may.")] = False,
    as_json: AsJson = False,
    svg: Annotated[str | None, typer.Option("--svg", hidden=True, help="Save the screen that asks.")] = None,
) -> int:
    """Server, worker and console in one process: a sample run, its approval at the prompt."""
    output = Output.standard(as_json=as_json)
    return _do(demo.demo(output, cast("Parts", context.obj).worker, process, yes=yes, svg=svg))


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
    as_json: AsJson = False,
) -> int:
    """Start a run."""
    return _do(commands.run(Output.standard(as_json=as_json), process, given, key, by, priority, wait=wait))


@app.command("status")
def _status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Until it ends; with --json a line for each event.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show a run: its steps, what it waits for, what is broken, how it ended."""
    return _do(commands.status(Output.standard(as_json=as_json), run, watch=watch))


@app.command("list")
def _list(
    status: Annotated[RunStatus | None, typer.Option("--status", help="Only those.")] = None,
    process: Annotated[str | None, typer.Option("--process", help="Only its runs.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List runs, newest first, ended ones too."""
    return _do(commands.show_list(Output.standard(as_json=as_json), status, process, limit))


for _name, _command in deciding.COMMANDS.items():
    app.command(_name)(_command)


@app.command("repair")
def _repair(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's id; with --where the ACTION, which is then all.")
    ],
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="The step with the incident.")] = None,
    action: Annotated[Action | None, typer.Argument(help="What to do about it.")] = None,
    *,
    value: Annotated[
        str | None, typer.Option("--value", metavar="JSON", help="amend: the arguments; complete: the output.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    no_undo: Annotated[bool, typer.Option("--no-undo", help="abort: leave the effects as they are.")] = False,
    where: Annotated[
        str | None, typer.Option("--where", metavar="CEL", help="Every open incident of which this holds.")
    ] = None,
    process: Annotated[str | None, typer.Option("--process", help="With --where: only its runs.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="With --where: the oldest so many.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --where: show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --where: do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Repair a step that is parked as an incident; the rest of the run is not done again. Or many: repair --where."""
    if where is not None:
        if step is not None or run not in get_args(Action):
            raise CallerError("with --where say only what to do: repair --where \"error.type == 'ToolFailed'\" retry")
        action = cast("Action", run)
    elif step is None or action is None:
        raise CallerError("say which: repair RUN STEP ACTION, or repair --where EXPRESSION ACTION")
    needs_value = action in ("amend", "complete")
    if needs_value != (value is not None):
        raise CallerError(
            f"{action} needs --value JSON" if needs_value else f"--value goes with amend and complete, not {action}"
        )
    if no_undo and action != "abort":
        raise CallerError(f"--no-undo goes with abort, not {action}")
    said = {"undo": False} if no_undo else None if value is None else read_value(value, "--value")
    output = Output.standard(as_json=as_json)
    if where is None:
        return _do(commands.repair(output, run, step or "", action, by, reason, said))
    settings = load_settings()
    order = many.Order(where, action, commands.actor(by, settings), reason, said, process, limit)
    return _do(many.repair_where(output, settings, order, dry_run=dry_run, yes=yes))


@app.command("incidents")
def _incidents(
    process: Annotated[str | None, typer.Option("--process", help="Only of its runs.")] = None,
    as_json: AsJson = False,
) -> int:
    """What is broken over all runs, by cause: how often, where, since when."""
    return _do(many.show_incidents(Output.standard(as_json=as_json), load_settings(), process))


@app.command("cancel")
def _cancel(
    run: Run,
    no_undo: Annotated[bool, typer.Option("--no-undo", help="Leave the effects as they are.")] = False,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Stop a run and take its effects back."""
    return _do(commands.cancel(Output.standard(as_json=as_json), run, by, reason, undo=not no_undo))


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
    """Publish an event: for steps that wait for it, and for processes it starts."""
    return _do(commands.event(Output.standard(as_json=as_json), topic, read_value(data, "JSON"), key, event_id, by))


@app.command("codec")
def _codec(
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Where it listens.")] = HOST,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Else encryption.codec_port; 0 for a free one.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", metavar="URL", help="Another page that may call it; repeatable.")
    ] = None,
) -> int:
    """Serve the codec endpoint, by which Temporal Web and the Temporal CLI show what is encrypted."""
    from cli import codec  # no other command needs a web server's start-up time

    return _do(codec.serve(Output.standard(as_json=False), host, port, origin or ()))


@app.command("serve")
def _serve(
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Where it listens.")] = HOST,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Else links.port; 0 for a free one.")
    ] = None,
) -> int:
    """Serve the pages where people decide by a link."""
    from cli import serve  # no other command needs a web server's start-up time

    return _do(serve.serve(Output.standard(as_json=False), host, port))


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
    """Print a link by which one person decides what a run waits for, once."""
    from cli import serve

    lasts = None if expires is None else read_duration(expires, "--expires")
    return _do(serve.link(Output.standard(as_json=as_json), run, step, read_person(person, "--for"), lasts))


@app.command("validate")
def _validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Process files, or processes by name.")],
    as_json: AsJson = False,
) -> int:
    """Check process files: every mistake at once, each with its place."""
    return _do(commands.validate(Output.standard(as_json=as_json), files))


@app.command("graph")
def _graph(
    word: Annotated[str, typer.Argument(metavar="FILE|RUN", help="A process file or name; or a run, coloured.")],
    as_json: AsJson = False,
) -> int:
    """Print a process or a run as a Mermaid graph."""
    return _do(commands.graph(Output.standard(as_json=as_json), word))


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
    """Show the models, their limits and breakers; or force the breaker of one."""
    board = cast("Parts", context.obj).board
    output = Output.standard(as_json=as_json)
    if alias is None:
        return _do(models.show_models(output, board))
    if state is None:
        raise CallerError(f"say what to do with {alias}: open, close or auto; without an alias all are shown")
    return _do(models.force_model(output, board, alias, state, by, reason))


@app.command("tools")
def _tools(
    context: typer.Context,
    action: Annotated[tool_files.Action, typer.Argument(help="list them; pin what MCP servers offer; check the pins.")],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE...]", help="tools.yaml files or their folders; else all.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Tools that tools.yaml files declare, and the pins of MCP servers."""
    output = Output.standard(as_json=as_json)
    return _do(tool_files.tools(output, cast("Parts", context.obj).offers, action, files or ()))


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
    status = call(sys.argv[1:], parts)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            continue
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    os._exit(status)


def _do(work: Coroutine[Any, Any, Exit]) -> int:
    return asyncio.run(work)
