"""Incidents of all runs at once: what there is, by cause, and one repair for all that match."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError
from rich.console import Group
from rich.progress import Progress
from rich.prompt import Confirm
from rich.table import Column, Table
from rich.text import Text
from temporalio.client import Client

from cli.connection import connected
from cli.marks import took
from cli.output import Exit, Output
from cli.tree import one_line
from contracts.base import Json
from contracts.decisions import Repair
from contracts.errors import CallerError, ExpressionFailed, SurefootError
from language import expressions
from runtime.asking import AT_ONCE
from runtime.deciding import new_id, send
from runtime.incidents import NAMES, Cause, Found, causes, open_incidents
from runtime.settings import Settings

SHOWN = 20
"""Incidents, causes and refusals of one table; --json has all."""
NAMED = 3
"""Runs and steps that a cause names."""


@dataclass(frozen=True)
class Order:
    """What is to be done about every incident of which `where` holds. `value` may have expressions over the incident.
    `limit`: the oldest so many."""

    where: str
    action: str
    by: str
    reason: str = ""
    value: Json = None
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

    def repair(self, found: Found) -> Repair:
        """Raises:
        CallerError: the value cannot be worked out for this incident.
        """
        try:
            value = expressions.evaluate(self.value, found.names)
        except ExpressionFailed as error:
            raise CallerError(f"--value: {error}") from error
        return Repair.model_validate(
            {
                "step": found.incident.step,
                "action": self.action,
                "by": self.by,
                "reason": self.reason,
                "value": value,
                "id": new_id(),
            }
        )


@dataclass(frozen=True)
class Told:
    """What became of one incident."""

    found: Found
    outcome: str = ""
    refused: str | None = None

    def as_json(self) -> dict[str, Json]:
        said = {"outcome": self.outcome} if self.refused is None else {"refused": self.refused}
        return {"run": self.found.run, "step": self.found.incident.step, **said}


async def show_incidents(output: Output, settings: Settings, process: str | None) -> Exit:
    """Every open incident, by cause."""
    async with connected(settings) as connection:
        found, silent = await open_incidents(connection.client, process)
    _say_silent(output, silent)
    if not found and not output.as_json:
        output.say("no incidents")
        return Exit.HOLDS
    made = causes(found)
    output.show(_table(made), {"causes": [_cause_json(cause) for cause in made], "silent": silent})
    return Exit.HOLDS


async def repair_where(output: Output, settings: Settings, order: Order, *, dry_run: bool, yes: bool) -> Exit:
    """Repair every incident of which an expression holds.

    Raises:
        CallerError: the expression is none, or nobody confirms.
    """
    order.check()
    async with connected(settings) as connection:
        client = connection.client
        found, silent = await open_incidents(client, order.process)
        matched = _matching(output, order, found)[: order.limit]
        _say_silent(output, silent)
        if not output.as_json:
            output.out.print(_table(causes(matched)) if matched else Text("no incident matches"))
        if dry_run or not matched:
            _show_plan(output, order, matched, silent)
            return Exit.RUN_FAILED if silent else Exit.HOLDS
        if not yes:
            _confirm(output, order, matched)
        told = await _repair_all(output, client, order, matched)
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


def _show_plan(output: Output, order: Order, matched: Sequence[Found], silent: Sequence[str]) -> None:
    """What would be said to each run."""
    plans: list[dict[str, Json]] = []
    lines: list[Text] = []
    for each in matched:
        place: dict[str, Json] = {"run": each.run, "step": each.incident.step}
        try:
            repair = order.repair(each)
        except CallerError as error:
            plans.append({**place, "refused": str(error)})
            lines.append(Text(f"  {each.run}  {each.incident.step}: {error}", style="failed"))
            continue
        plans.append({**place, "action": repair.action, "value": repair.value, "input": each.incident.input})
        with_ = f"  {expressions.as_text(repair.value)}" if repair.value is not None else ""
        lines.append(Text(f"  {each.run}  {each.incident.step}: {repair.action}{with_}"))
    if output.as_json:
        output.document({"matched": len(matched), "would": plans, "silent": list(silent)})
    elif matched:
        more = [Text(f"  ({len(lines) - SHOWN} more; --json has them)")] if len(lines) > SHOWN else []
        output.out.print(Group(Text("would be told:"), *lines[:SHOWN], *more), soft_wrap=True)


def _confirm(output: Output, order: Order, matched: Sequence[Found]) -> None:
    runs = len({each.run for each in matched})
    if not output.can_ask:
        raise CallerError(
            f"{len(matched)} incidents of {runs} runs match; say --yes to {order.action} them, or --dry-run to look"
        )
    if not Confirm.ask(f"{order.action} {len(matched)} incidents of {runs} runs?", console=output.err, default=False):
        raise CallerError("nothing was repaired")


async def _repair_all(output: Output, client: Client, order: Order, matched: Sequence[Found]) -> list[Told]:
    gate = asyncio.Semaphore(AT_ONCE)
    progress = Progress(console=output.err, transient=True, disable=not output.live)
    with progress if output.live else nullcontext():
        task = progress.add_task(order.action, total=len(matched))

        async def tell(found: Found) -> Told:
            async with gate:
                try:
                    receipt = await send(client, found.run, order.repair(found))
                except (SurefootError, ValidationError) as error:
                    return Told(found, refused=str(error))
                finally:
                    progress.advance(task)
            return Told(found, outcome=receipt.outcome)

        return list(await asyncio.gather(*map(tell, matched)))


def _report(output: Output, told: Sequence[Told], silent: Sequence[str]) -> Exit:
    refused = [each for each in told if each.refused is not None]
    held = [each for each in told if each.refused is None]
    lines = [Text(f"repaired {len(held)} of {len(told)}")]
    lines += [Text(f"  {each.found.run}  {each.found.incident.step}: {each.refused}") for each in refused[:SHOWN]]
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
            Text(_named(cause.steps)),
            said.append(f"\n{first.run}", style="faint"),
        )
    if len(made) > SHOWN:
        table.add_row("", "", "", "", Text(f"({len(made) - SHOWN} more; --json has them)", style="faint"))
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
    }


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
