"""What runs say of themselves, many asked at a time."""

import asyncio

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.names import PROCESS_WORKFLOW, VIEW_QUERY
from contracts.run import Page, RunView
from runtime.watch import ask

AT_ONCE = 8
"""Runs that are asked, or told something, at a time. A run takes ten updates at a time."""


async def views(client: Client, condition: str, person: str | None = None) -> dict[str, RunView | None]:
    """The view of every running run of which this holds in Temporal's index; None of one that does not answer.
    `person`: whose approvals they are to show.

    The index is a moment behind the runs, so that each is asked itself.
    """
    query = f"WorkflowType = '{PROCESS_WORKFLOW}' AND ExecutionStatus = 'Running' AND {condition}"
    runs = [execution.id async for execution in client.list_workflows(query)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(run: str) -> RunView | None:
        async with gate:
            try:
                return await _whole(client, run, person)
            except (WorkflowQueryFailedError, RPCError):
                return None

    return dict(zip(runs, await asyncio.gather(*map(ask, runs)), strict=True))


async def _whole(client: Client, run: str, person: str | None) -> RunView:
    """A view with one step and all incidents, however many."""
    page = view = await _view(client, run, Page(limit=1, person=person))
    incidents = {incident.step: incident for incident in page.incidents}
    told = len(page.incidents)
    while page.incidents and told < view.incidents_in_all:
        page = await _view(client, run, Page(limit=1, incidents=told))
        incidents |= {incident.step: incident for incident in page.incidents}
        told += len(page.incidents)
    return view.model_copy(update={"incidents": tuple(incidents.values())})


async def _view(client: Client, run: str, page: Page) -> RunView:
    view: RunView = await ask(client.get_workflow_handle(run), VIEW_QUERY, RunView, page)
    return view
