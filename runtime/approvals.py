"""Approvals of all runs at once: which of them wait for somebody."""

from collections.abc import Iterable

from temporalio.client import Client

from contracts.base import Contract
from contracts.names import WAITS_FOR_ATTRIBUTE
from contracts.run import Waiting
from runtime.asking import views
from runtime.runs import quoted


class OpenApproval(Contract):
    """An approval of a run that waits."""

    run: str
    process: str
    waiting: Waiting


async def waiting_for(client: Client, who: str, names: Iterable[str]) -> tuple[list[OpenApproval], list[str]]:
    """The approvals that somebody's decision would count for now, the oldest first, and the runs that did not answer.

    `names`: under which they can be asked: their own, their groups, those for whom they act.
    """
    listed = ", ".join(f"'{quoted(name)}'" for name in names)
    found = await views(client, f"{WAITS_FOR_ATTRIBUTE.name} IN ({listed})", who)
    waiting = [
        OpenApproval(run=run, process=view.process, waiting=each)
        for run, view in found.items()
        if view is not None
        for each in view.waiting
    ]
    waiting.sort(key=lambda each: each.waiting.since)
    return waiting, [run for run, view in found.items() if view is None]
