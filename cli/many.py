"""Incidents of all runs at once: what there is, by cause, and one repair for all that match."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group
from rich.progress import Progress
from rich.prompt import Confirm
from rich.table import Column, Table
from rich.text import Text
from temporalio.client import Client

from cli.connection import connected
from cli.marks import took
from cli.output import Exit, Output
from cli.repairs import preview
from cli.tree import one_line
from cli.values import actor_of
from contracts.base import Json
from contracts.decisions import AgentChange, Difference, Receipt, Repair, RepairAction
from contracts.errors import CallerError, ExpressionFailed, SurefootError
from language import expressions
from runtime.asking import AT_ONCE
from runtime.deciding import new_id, send
from runtime.incidents import NAMES, Cause, Found, causes, open_incidents
from runtime.settings import load_settings
from runtime.stuck import stuck_runs

SHOWN = 20
"""Incidents, causes and refusals of one table; --json has all."""
NAMED = 3
"""Runs and steps that a cause names."""


@dataclass(frozen=True)
class Order:
    """What is to be done about every incident of which `where` holds. `value` may have expressions over the incident.
    `limit`: the oldest so many."""

    where: str
    action: RepairAction
    by: str | None
    reason: str = ""
    value: Json = None
    change: AgentChange | None = None
    process: str | None = None
    limit: int | None = None

    def check(self) -> None:
        """Raises:
        CallerError: the expression, or one in the value, is none that an incident could be told by.
        """
        for text in (self.where, *expressions.expressions_in(self.value)):
            if problem := expressions.syntax_error(text):
                said, line, column = problem
                raise CallerError(f"{text!r} is no CEL: {said} (line {line}, column {column})")
            if strange := sorted(expressions.names_used(text) - NAMES):
                known = ", ".join(sorted(NAMES))
                raise CallerError(f"{text!r} uses {', '.join(strange)}, which an incident has not; it has {known}")

    def repair(self, found: Found, by: str) -> Repair:
        """Raises:
        CallerError: the value cannot be worked out for this incident.
        """
        try:
            value = expressions.evaluate(self.value, found.names)
        except ExpressionFailed as error:
            raise CallerError(f"--value: {error}") from error
        return Repair(
            step=found.incident.step,
            action=self.action,
            by=by,
            reason=self.reason,
            value=value,
            agent=self.change,
            id=new_id(),
        )


@dataclass(frozen=True)
class Told:
    """What became of one incident, or would become."""

    found: Found
    receipt: Receipt | None = None
    refused: str = ""

    def as_json(self) -> dict[str, Json]:
        said = {"refused": self.refused} if self.receipt is None else self.receipt.model_dump(mode="json")
        return {"run": self.found.run, "step": self.found.incident.step, **said}

    def as_text(self) -> Text:
        line = Text(f"  {self.found.run}  {self.found.incident.step}: ")
        if self.receipt is None:
            return line.append(self.refused, style="failed")
        return line.append("; ".join((self.receipt.outcome, *map(_changed, self.receipt.difference))))


async def show_incidents(output: Output, process: str | None) -> Exit:
    """Every open incident, by cause."""
    async with connected() as connection:
        found, silent = await open_incidents(connection.client, process)
        stuck = await stuck_runs(connection.client, process)
    _say_silent(output, [run for run in silent if run not in {each.run for each in stuck}])
    made = causes(found)
    if output.as_json:
        told = {"causes": [_cause_json(cause) for cause in made], "silent": silent}
        output.document({**told, "stuck": [{"run": each.run, "why": each.why} for each in stuck]})
        return Exit.HOLDS
    if made:
        output.out.print(_table(made))
    for each in stuck[:SHOWN]:
        output.out.print(Text.assemble((each.run, "name"), " does not go on: ", each.why), soft_wrap=True)
    if len(stuck) > SHOWN:
        output.say(f"{len(stuck) - SHOWN} more do not go on; --json has them")
    if not made and not stuck:
        output.say("no incidents")
    return Exit.HOLDS


async def repair_where(output: Output, order: Order, *, dry_run: bool, yes: bool) -> Exit:
    """Repair every incident of which an expression holds.

    Raises:
        CallerError: the expression is none, or nobody confirms.
    """
    order.check()
    settings = load_settings()
    by = actor_of(order.by, settings)
    async with connected(settings) as connection:
        client = connection.client
        found, silent = await open_incidents(client, order.process)
        matched = _matching(output, order, found)[: order.limit]
        _say_silent(output, silent)
        if not output.as_json:
            output.out.print(_table(causes(matched)) if matched else Text("no incident matches"))
        if dry_run or not matched:
            _show_plan(
                output, await _for_each(output, order, matched, lambda each: _foreseen(client, order, each, by)), silent
            )
            return Exit.RUN_FAILED if silent else Exit.HOLDS
        if not yes:
            _confirm(output, order, matched)
        told = await _for_each(output, order, matched, lambda each: _told(client, order, each, by))
    return _report(output, told, silent)


def _matching(output: Output, order: Order, found: Iterable[Found]) -> list[Found]:
    """Those of which the expression holds. It cannot be told of some when they lack a field that it asks for."""
    matched: list[Found] = []
    untold: list[str] = []
    for each in found:
        try:
            if expressions.truth(f"${{ {order.where} }}", each.names):
                matched.append(each)
        except ExpressionFailed as error:
            if "a condition must give" in str(error):
                raise CallerError(f"--where: {error}") from error
            untold.append(str(error))
    if untold:
        output.say(f"of {len(untold)} incidents it cannot be told, so they do not match: {untold[0]}")
    return matched


def _show_plan(output: Output, told: Sequence[Told], silent: Sequence[str]) -> None:
    """What would come of it, by the runs themselves."""
    if output.as_json:
        would = [each.as_json() for each in told]
        output.document({"matched": len(told), "would": would, "silent": list(silent), "dry_run": True})
    elif told:
        more = [Text(f"  ({len(told) - SHOWN} more; --json has them)")] if len(told) > SHOWN else []
        lines = [each.as_text() for each in told[:SHOWN]]
        output.out.print(Group(Text("nothing is done; it would be:"), *lines, *more), soft_wrap=True)


def _confirm(output: Output, order: Order, matched: Sequence[Found]) -> None:
    runs = len({each.run for each in matched})
    if not output.can_ask:
        raise CallerError(
            f"{len(matched)} incidents of {runs} runs match; say --yes to {order.action} them, or --dry-run to look"
        )
    if not Confirm.ask(f"{order.action} {len(matched)} incidents of {runs} runs?", console=output.err, default=False):
        raise CallerError("nothing was repaired")


async def _told(client: Client, order: Order, found: Found, by: str) -> Told:
    return Told(found, await send(client, found.run, order.repair(found, by)))


async def _foreseen(client: Client, order: Order, found: Found, by: str) -> Told:
    return Told(found, await preview(client, found.run, order.repair(found, by)))


async def _for_each(
    output: Output, order: Order, matched: Sequence[Found], say: Callable[[Found], Awaitable[Told]]
) -> list[Told]:
    """Say it about each, a few at a time; what is refused is told and keeps none of the others."""
    gate = asyncio.Semaphore(AT_ONCE)
    progress = Progress(console=output.err, transient=True, disable=not output.live)
    with progress if output.live else nullcontext():
        task = progress.add_task(order.action, total=len(matched))

        async def tell(found: Found) -> Told:
            async with gate:
                try:
                    return await say(found)
                except SurefootError as error:
                    return Told(found, refused=str(error))
                finally:
                    progress.advance(task)

        return list(await asyncio.gather(*map(tell, matched)))


def _report(output: Output, told: Sequence[Told], silent: Sequence[str]) -> Exit:
    refused = [each for each in told if each.receipt is None]
    held = [each for each in told if each.receipt is not None]
    lines = [Text(f"repaired {len(held)} of {len(told)}"), *(each.as_text() for each in refused[:SHOWN])]
    document = {
        "matched": len(told),
        "repaired": [each.as_json() for each in held],
        "refused": [each.as_json() for each in refused],
        "silent": list(silent),
    }
    output.show(Group(*lines), document)
    return Exit.RUN_FAILED if refused or silent else Exit.HOLDS


def _say_silent(output: Output, silent: Sequence[str]) -> None:
    if silent:
        output.say(f"{len(silent)} runs did not answer: {_named(silent)}; `starter.py status RUN` says why")


def _table(made: Sequence[Cause]) -> Table:
    table = Table(
        Column("incidents", justify="right", no_wrap=True),
        Column("runs", justify="right", no_wrap=True),
        Column("oldest", justify="right", no_wrap=True),
        Column("worth", justify="right"),
        Column("steps", overflow="fold"),
        Column("cause, and a run with it", overflow="fold"),
        box=None,
        header_style="faint",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    now = datetime.now(UTC)
    for cause in made[:SHOWN]:
        first = cause.found[0]
        said = Text.assemble((f"{first.incident.error.type}: ", "failed"), one_line(first.incident.error.message))
        table.add_row(
            Text(str(len(cause.found))),
            Text(str(len(cause.runs))),
            Text(took(cause.oldest, now)),
            Text(_worth(cause)),
            Text(_named(cause.steps)),
            said.append(f"\n{first.run}", style="faint"),
        )
    if len(made) > SHOWN:
        table.add_row("", "", "", "", "", Text(f"({len(made) - SHOWN} more; --json has them)", style="faint"))
    return table


def _cause_json(cause: Cause) -> dict[str, Json]:
    first = cause.found[0]
    return {
        "cause": first.cause,
        "type": first.incident.error.type,
        "message": first.incident.error.message,
        "incidents": [{"run": each.run, "process": each.process, "step": each.incident.step} for each in cause.found],
        "runs": len(cause.runs),
        "oldest": cause.oldest,
        "worth": [worth.model_dump(mode="json") for worth in cause.worth],
    }


def _worth(cause: Cause) -> str:
    return ", ".join(
        f"{worth.money:,.2f} {worth.currency}" if worth.money else f"{worth.minutes:g} min" for worth in cause.worth
    )


def _changed(difference: Difference) -> str:
    before, after = (expressions.as_text(value) for value in (difference.before, difference.after))
    return f"{difference.path} {before} > {after}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
