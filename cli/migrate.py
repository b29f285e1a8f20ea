"""`starter.py migrate`: moving runs to a newer definition of their process, or to the current release."""

from collections.abc import Iterable

from pydantic_core import to_json
from rich.text import Text
from temporalio.client import Client

from cli.connection import connected
from cli.output import Exit, Output
from cli.start import definition_of
from cli.values import actor_of
from contracts.base import Json
from contracts.decisions import Receipt
from contracts.errors import CallerError
from contracts.migration import Migration
from contracts.run import Definition
from runtime.catalog import Catalog
from runtime.deciding import new_id, send
from runtime.runs import describe
from runtime.settings import load_settings
from runtime.watch import Watch

MAX_VALUE = 60
"""Characters of a value in a line."""


async def migrate(
    output: Output, runs: Iterable[str], to: str | None, by: str | None, reason: str, *, dry_run: bool
) -> Exit:
    """Each run by itself: what keeps one where it is keeps no other."""
    settings = load_settings()
    catalog = Catalog.load(settings.folders)
    target = definition_of(catalog, to) if to is not None else None
    actor = actor_of(by, settings)
    told: list[Json] = []
    exit_status = Exit.HOLDS
    async with connected(settings) as connection:
        for run in dict.fromkeys(runs):
            try:
                definition = target or await _newest(connection.client, catalog, run)
                message = Migration(by=actor, reason=reason, definition=definition, dry_run=dry_run, id=new_id())
                receipt = await send(connection.client, run, message)
            except CallerError as error:
                exit_status = Exit.WRONG_CALL
                told.append({"run": run, "error": {"type": error.type_name(), "message": str(error)}})
                output.say(f"{run}: {error}")
            else:
                told.append({"run": run, **receipt.model_dump(mode="json")})
                if not output.as_json:
                    output.out.print(_lines(run, receipt), soft_wrap=True)
    if output.as_json:
        output.document({"runs": told})
    return exit_status


async def move_to_release(client: Client, run: str, by: str) -> tuple[bool, str]:
    """Have a run that waits go on with the current release; whether it does, and what came of it."""
    try:
        receipt = await send(client, run, Migration(by=by, reason="its release is drained", id=new_id()))
    except CallerError as error:
        return False, f"{run}: {error}"
    return True, f"{run}: {receipt.outcome}"


async def _newest(client: Client, catalog: Catalog, run: str) -> Definition:
    """What a run of the same process would be started with now."""
    await describe(client, run)
    seen = await Watch(client, run).look()
    return catalog.definition(seen.view.process)


def _lines(run: str, receipt: Receipt) -> Text:
    changes = [f"  {each.path}: {_short(each.before)} -> {_short(each.after)}" for each in receipt.difference]
    return Text("\n".join([f"{run}: {receipt.outcome}", *changes]))


def _short(value: Json) -> str:
    text = "nothing" if value is None else to_json(value).decode()
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
