"""The commands of operators as they are typed: repair, pause, resume, note, cancel."""

from typing import Annotated, Literal, cast, get_args

import typer

from cli.options import AsJson, By, Reason, Run, carry_out
from cli.output import Output
from contracts.base import Json
from contracts.decisions import AgentChange, Repair
from contracts.errors import CallerError

app = typer.Typer()

Action = Literal["retry", "amend", "skip", "complete", "fallback", "replan", "abort"]


@app.command("repair")
def _repair(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id; with --where the ACTION, which is all.")],
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="The step with the incident.")] = None,
    action: Annotated[Action | None, typer.Argument(help="What to do about it.")] = None,
    *,
    value: Annotated[
        str | None,
        typer.Option(
            "--value", metavar="JSON", help="amend: the arguments; complete: the output; fallback: the other step."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TEXT", help="amend: another task for its agent; @FILE reads it.")
    ] = None,
    instructions: Annotated[
        str | None, typer.Option("--instructions", metavar="TEXT", help="amend: other instructions; @FILE reads them.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="ALIAS", help="amend: another model; repeat it for a chain.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    no_undo: Annotated[bool, typer.Option("--no-undo", help="abort: leave the effects as they are.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would change; do nothing.")] = False,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="CEL", help="Instead of RUN STEP: every incident of which it holds."),
    ] = None,
    process: Annotated[str | None, typer.Option("--process", help="With --where: only its runs.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="With --where: the oldest so many.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --where: do not ask first.")] = False,
    as_json: AsJson = False,
    svg: Annotated[str | None, typer.Option("--svg", hidden=True, help="Save what is shown.")] = None,
) -> int:
    """Repair a broken step in place, or amend one before it starts.

    Nothing that completed is done again. With --where, repair the incidents of many runs:
    starter.py repair --where "error.type == 'ToolFailed'" retry
    """
    from cli import many, repairs
    from cli.values import actor_of
    from runtime.deciding import new_id
    from runtime.settings import load_settings

    if where is not None:
        if step is not None or run not in get_args(Action):
            raise CallerError("with --where say only what to do: repair --where \"error.type == 'ToolFailed'\" retry")
        action = cast("Action", run)
    elif step is None or action is None:
        raise CallerError("say which: repair RUN STEP ACTION, or repair --where EXPRESSION ACTION")
    change = _change(action, task, instructions, model)
    said = _value(action, value, no_undo=no_undo, has_change=change is not None)
    output = Output.standard(as_json=as_json)
    if where is not None:
        order = many.Order(where, action, by, reason, said, change, process, limit)
        return carry_out(many.repair_where(output, order, dry_run=dry_run, yes=yes))
    if process is not None or limit is not None or yes:
        raise CallerError("--process, --limit and --yes go with --where")
    settings = load_settings()
    message = Repair(
        step=step or "",
        action=action,
        by=actor_of(by, settings),
        reason=reason,
        value=said,
        agent=change,
        id=new_id(),
    )
    return carry_out(repairs.repair(output, settings, run, message, dry_run=dry_run, svg=svg))


@app.command("incidents")
def _incidents(
    process: Annotated[str | None, typer.Option("--process", help="Only of its runs.")] = None,
    as_json: AsJson = False,
) -> int:
    """Show what is broken over all runs, by cause."""
    from cli import many

    return carry_out(many.show_incidents(Output.standard(as_json=as_json), process))


@app.command("pause")
def _pause(run: Run, reason: Reason = "", by: By = None, as_json: AsJson = False) -> int:
    """Have no step of a run start until it is resumed.

    What is at work goes on to its end.
    """
    from cli import repairs

    return carry_out(repairs.say(Output.standard(as_json=as_json), run, "pause", by, reason))


@app.command("resume")
def _resume(run: Run, reason: Reason = "", by: By = None, as_json: AsJson = False) -> int:
    """Let a paused run go on."""
    from cli import repairs

    return carry_out(repairs.say(Output.standard(as_json=as_json), run, "resume", by, reason))


@app.command("note")
def _note(
    run: Run,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What others should know.")],
    step: Annotated[str, typer.Option("--step", metavar="STEP", help="The step it is about; else the run.")] = "",
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Leave a note on a run, or on a step of it."""
    from cli import repairs

    return carry_out(repairs.say(Output.standard(as_json=as_json), run, "note", by, text, step))


@app.command("rerun")
def _rerun(
    run: Run,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Also this step, and all that needs it.")
    ] = None,
    given: Annotated[
        str | None, typer.Option("--input", metavar="X", help="Another input, for what starts again.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    *,
    redo: Annotated[bool, typer.Option("--redo", help="Do once more what was done and stands.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is kept and what starts again.")] = False,
    as_json: AsJson = False,
) -> int:
    """Start an ended run again from where it stood.

    What completed is kept, and no effect is doubled.
    """
    from cli import again
    from cli.values import read_value

    value = None if given is None else read_value(given, "--input")
    output = Output.standard(as_json=as_json)
    return carry_out(again.rerun(output, run, from_, value, by, reason, redo=redo, dry_run=dry_run))


@app.command("cancel")
def _cancel(
    run: Run,
    no_undo: Annotated[bool, typer.Option("--no-undo", help="Leave the effects as they are.")] = False,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Stop a run and take its effects back."""
    from cli import repairs

    return carry_out(repairs.cancel(Output.standard(as_json=as_json), run, by, reason, undo=not no_undo))


def _change(action: str, task: str | None, instructions: str | None, model: list[str] | None) -> AgentChange | None:
    """What is given for the agent of a step.

    Raises:
        CallerError: it goes with another action.
    """
    from cli.values import read_text

    if task is None and instructions is None and not model:
        return None
    if action != "amend":
        raise CallerError(f"--task, --instructions and --model go with amend, not {action}")
    chain = None if not model else model[0] if len(model) == 1 else tuple(model)
    return AgentChange(
        task=None if task is None else read_text(task, "--task"),
        instructions=None if instructions is None else read_text(instructions, "--instructions"),
        model=chain,
    )


def _value(action: str, value: str | None, *, no_undo: bool, has_change: bool) -> Json:
    """Raises:
    CallerError: the action takes no value, or needs one.
    """
    from cli.values import read_value

    if no_undo and action != "abort":
        raise CallerError(f"--no-undo goes with abort, not {action}")
    if value is None:
        if action == "amend" and not has_change:
            raise CallerError("amend needs --value JSON, or for an agent step --task, --instructions or --model")
        return {"undo": False} if no_undo else None
    if action == "fallback":
        return value
    if action not in ("amend", "complete"):
        raise CallerError(f"--value goes with amend, complete and fallback, not {action}")
    return read_value(value, "--value")
