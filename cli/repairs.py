"""What operators' commands do, given where they write."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text
from temporalio.client import Client, WorkflowQueryFailedError

from cli.connection import connected
from cli.differences import shown
from cli.output import Exit, Output
from cli.picture import save_screen
from cli.values import actor_of
from contracts.decisions import AgentChange, Cancel, Receipt, Repair, RepairAction
from contracts.errors import Refused
from contracts.names import PREVIEW_QUERY
from runtime.deciding import new_id, send
from runtime.runs import describe
from runtime.settings import Settings, load_settings
from runtime.watch import ask


async def repair(
    output: Output, settings: Settings, run: str, message: Repair, *, dry_run: bool, svg: str | None
) -> Exit:
    _warn_of_models(output, settings, message.agent)
    async with connected(settings) as connection:
        client = connection.client
        receipt = await (preview(client, run, message) if dry_run else send(client, run, message))
    if svg is not None:
        save_screen([_answer(receipt, is_done=not dry_run)], Path(svg), title=f"starter.py repair {run} ...")
    return received(output, run, message.step, receipt, is_done=not dry_run)


async def say(output: Output, run: str, action: RepairAction, by: str | None, reason: str, step: str = "") -> Exit:
    """Pause, resume, or a note."""
    settings = load_settings()
    message = Repair(step=step, action=action, by=actor_of(by, settings), reason=reason, id=new_id())
    async with connected(settings) as connection:
        return received(output, run, step or None, await send(connection.client, run, message))


async def cancel(output: Output, run: str, by: str | None, reason: str, *, undo: bool) -> Exit:
    settings = load_settings()
    message = Cancel(by=actor_of(by, settings), reason=reason, undo=undo, id=new_id())
    async with connected(settings) as connection:
        return received(output, run, None, await send(connection.client, run, message))


async def preview(client: Client, run: str, message: Repair) -> Receipt:
    """What a repair would come to, without doing it.

    Raises:
        Refused: it does not hold; the run says why.
        UnknownRun: there is no such run.
    """
    await describe(client, run)
    try:
        receipt: Receipt = await ask(client.get_workflow_handle(run), PREVIEW_QUERY, Receipt, message)
    except WorkflowQueryFailedError as error:
        raise Refused(str(error)) from error
    return receipt


def received(output: Output, run: str, step: str | None, receipt: Receipt, *, is_done: bool = True) -> Exit:
    """Show a run's answer, and what it changes."""
    said = {"run": run, **({"step": step} if step else {}), **receipt.model_dump(mode="json")}
    if not is_done:
        said["dry_run"] = True
    output.show(_answer(receipt, is_done=is_done), said)
    return Exit.HOLDS


def _answer(receipt: Receipt, *, is_done: bool) -> RenderableType:
    line = receipt.outcome if is_done else f"nothing is done; it would say: {receipt.outcome}"
    changes = [shown(receipt.difference)] if receipt.difference else []
    return Group(Text(line), *changes)


def _warn_of_models(output: Output, settings: Settings, change: AgentChange | None) -> None:
    """The worker knows which models there are; its settings may be others."""
    named = change.model if change is not None and change.model is not None else ()
    known = {*settings.models, "default"}
    for alias in [named] if isinstance(named, str) else named:
        if alias not in known:
            known_ones = ", ".join(sorted(known))
            output.say(f"warning: these settings have no model alias {alias!r}; they have {known_ones}")
