"""Starting an ended run again from where it stood."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from rich.console import Group
from rich.text import Text
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
)
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.common import WorkflowIDReusePolicy as Reuse
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from cli.connection import connected
from cli.output import Exit, Output, command
from cli.start import check_input
from cli.values import actor_of
from contracts.base import Json
from contracts.errors import CallerError, Refused, ServerUnreachable, UnknownRun
from contracts.names import PROCESS_ATTRIBUTE, PROCESS_WORKFLOW, SNAPSHOT_QUERY, STATUS_ATTRIBUTE
from contracts.run import Rerun, RunRequest
from runtime.polling import worker_polls
from runtime.runs import describe, view_of_server
from runtime.settings import Settings, load_settings
from runtime.watch import Watch

QUERY_TIMEOUT = timedelta(seconds=15)
WITHIN = 15.0
"""Seconds for a run to close once it has ended, and for the next to say that it has begun, or may not."""


async def rerun(
    output: Output,
    run: str,
    from_: str | None,
    given: Json,
    by: str | None,
    reason: str,
    *,
    redo: bool,
    dry_run: bool,
) -> Exit:
    from workflows.restarting import rerun_id, restart  # no other command needs the engine's start-up time

    settings = load_settings()
    again = Rerun(of=run, by=actor_of(by, settings), reason=reason, from_=from_, redo=redo)
    async with connected(settings) as connection:
        client = connection.client
        ended = await _ended(client, run)
        if ended.definition is None or ended.snapshot is None:
            raise CallerError(f"{run} has not begun; start it anew")
        if given is not None:
            check_input(ended.definition, given)
        made = restart(ended.definition, ended.snapshot, from_, redo=redo)
        next_run = rerun_id(ended.origin or run, ended.number + 1)
        told: dict[str, Json] = {"run": next_run, "rerun_of": run}
        steps = {"kept": list(made.kept), "again": list(made.again), "redone": list(made.redone)}
        lines = [Text(f"  {name}: {', '.join(ids)}") for name, ids in steps.items() if ids]
        if dry_run:
            first = Text.assemble(("nothing is done; it would be ", "faint"), next_run)
            output.show(Group(first, *lines), {**told, **steps, "dry_run": True})
            return Exit.HOLDS
        await _start(client, settings, ended, again, next_run, given)
        await _begun(output, client, settings, next_run)
        shown = Group(Text(f"started {next_run}"), *lines, Text(f"  {command('status', next_run, '--watch')}"))
        output.show(shown, {**told, **steps, "url": connection.link(next_run)})
    return Exit.HOLDS


async def _ended(client: Client, run: str) -> RunRequest:
    """The run as it would go on.

    Raises:
        CallerError: it has not ended, or completed, or never began.
        ServerUnreachable: no worker answers for it.
    """
    found = await _closed(client, run)
    if found.status is WorkflowExecutionStatus.RUNNING:
        raise CallerError(f"{run} has not ended; repair it in place, or cancel it first: `{command('status', run)}`")
    if found.status is WorkflowExecutionStatus.COMPLETED:
        raise CallerError(f"{run} completed; there is nothing to start again")
    if found.parent_id is not None:
        raise CallerError(f"{run} is part of {found.parent_id}; start that again, or retry its step")
    try:
        ended: RunRequest = await client.get_workflow_handle(run).query(
            SNAPSHOT_QUERY, result_type=RunRequest, rpc_timeout=QUERY_TIMEOUT
        )
    except WorkflowQueryFailedError as error:
        raise CallerError(f"{run} never began: {error}; start it anew with `{command('run', 'PROCESS')}`") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise
        raise ServerUnreachable(f"no worker answers for {run}; start one with `worker.py`, then try again") from error
    return ended


async def _closed(client: Client, run: str) -> WorkflowExecutionDescription:
    """The run as the server knows it. One that says that it has ended still writes its record, and is waited for."""
    found = await describe(client, run)
    if found.status is not WorkflowExecutionStatus.RUNNING or not (await Watch(client, run).look()).ended:
        return found
    with suppress(TimeoutError, WorkflowFailureError):
        async with asyncio.timeout(WITHIN):
            await client.get_workflow_handle(run).result()
    return await describe(client, run)


async def _start(client: Client, settings: Settings, ended: RunRequest, again: Rerun, run: str, given: Json) -> None:
    """Start the one run that goes on with an ended one.

    Raises:
        CallerError: it was started already.
    """
    earlier = await _earlier(client, run)
    was_refused = earlier is not None and await _is_refused(client, earlier)
    request = RunRequest(process=ended.process, input=given, priority=ended.priority, rerun=again)
    tenant = (await describe(client, again.of)).raw_info.priority.fairness_key or None
    attributes = [
        SearchAttributePair(PROCESS_ATTRIBUTE, ended.process),
        SearchAttributePair(STATUS_ATTRIBUTE, "running"),
    ]
    try:
        await client.start_workflow(
            PROCESS_WORKFLOW,
            request,
            id=run,
            task_queue=settings.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            # One that was refused has done nothing, and must not keep out one that may.
            id_reuse_policy=Reuse.ALLOW_DUPLICATE_FAILED_ONLY if was_refused else Reuse.REJECT_DUPLICATE,
            memo={"rerun_of": again.of, "started_by": again.by},
            search_attributes=TypedSearchAttributes(attributes),
            static_summary=f"{ended.process}, again"[:200],
            static_details=f"**{ended.process}** goes on with `{again.of}`, by {again.by}: {again.reason or '-'}",
            priority=Priority(priority_key=ended.priority, fairness_key=tenant),
        )
    except WorkflowAlreadyStartedError as error:
        raise CallerError(
            f"{again.of} was started again already, as {run}; see it with `{command('status', run)}`, and when it has "
            "ended badly start that again"
        ) from error


async def _earlier(client: Client, run: str) -> WorkflowExecutionDescription | None:
    try:
        return await describe(client, run)
    except UnknownRun:
        return None


async def _is_refused(client: Client, found: WorkflowExecutionDescription) -> bool:
    known = await view_of_server(client.get_workflow_handle(found.id), found)
    return known.error is not None and known.error.type == Refused.type_name()


async def _begun(output: Output, client: Client, settings: Settings, run: str) -> None:
    """Wait until the run has begun.

    Raises:
        Refused: it may not; why.
    """
    if not await worker_polls(client, settings.task_queue):
        output.say(f"warning: no worker polls task queue {settings.task_queue!r}; start one with `worker.py`")
        return
    try:
        async with asyncio.timeout(WITHIN):
            async for seen in Watch(client, run).changes():
                if not seen.silent:
                    return
            error = seen.view.error  # It ended before its first step.
    except TimeoutError:
        output.say(f"{run} has not begun yet; see it with `{command('status', run)}`")
        return
    if error is not None:
        raise Refused(error.message)
