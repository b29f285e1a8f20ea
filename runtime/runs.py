"""Runs as the server knows them, without asking a worker: which there are, how they stand, how they ended."""

import difflib
from datetime import datetime
from typing import cast, get_args

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Contract
from contracts.errors import ErrorInfo, UnknownRun
from contracts.names import (
    OPERATOR,
    PROCESS_ATTRIBUTE,
    PROCESS_WORKFLOW,
    REPORTED_ATTRIBUTE,
    STATUS_ATTRIBUTE,
    WAITS_FOR_ATTRIBUTE,
)
from contracts.run import ENDED, Cost, RunResult, RunStatus, RunView

MAX_RUNS_SEARCHED = 500

_ENDED_AS: dict[WorkflowExecutionStatus, RunStatus] = {
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "cancelled",
    WorkflowExecutionStatus.TIMED_OUT: "failed",
}


class Listed(Contract):
    """A run in a list. `waits_for`: people, groups, `operator`."""

    run: str
    process: str
    status: RunStatus
    waits_for: tuple[str, ...]
    started: datetime
    ended: datetime | None


async def describe(client: Client, run: str) -> WorkflowExecutionDescription:
    """A run of a process as the server knows it.

    Raises:
        UnknownRun: there is none of this name; close ones are named.
    """
    try:
        found = await client.get_workflow_handle(run).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
            raise UnknownRun(await _unknown(client, run)) from error
        raise
    if found.workflow_type != PROCESS_WORKFLOW:
        part_of = f"; it is part of run {found.parent_id}" if found.parent_id else ""
        raise UnknownRun(f"{run} is a workflow of type {found.workflow_type}, not a run of a process{part_of}")
    return found


async def list_runs(
    client: Client, *, status: RunStatus | None = None, process: str | None = None, limit: int = 20
) -> tuple[list[Listed], bool]:
    """Runs, newest first, and whether there are more than `limit`."""
    query = f"WorkflowType = '{PROCESS_WORKFLOW}'"
    if process is not None:
        query += f" AND {PROCESS_ATTRIBUTE.name} = '{quoted(process)}'"
    if status in ENDED:
        # A run that was terminated, or failed before its first step, could not say so itself.
        query += " AND ExecutionStatus != 'Running'"
    elif status is not None:
        said = f"{STATUS_ATTRIBUTE.name} = '{status}'"
        if status == "attention":
            # A run that its worker cannot go on with cannot say so itself.
            said = f"({said} OR {REPORTED_ATTRIBUTE.name} IS NOT NULL)"
        query += f" AND ExecutionStatus = 'Running' AND {said}"
    found: list[Listed] = []
    async for execution in client.list_workflows(query, page_size=min(1000, limit + 1)):
        listed = _listed(execution)
        if status is None or listed.status == status:
            found.append(listed)
        if len(found) > limit:
            break
    newest = sorted(found[:limit], key=lambda run: run.started, reverse=True)
    return newest, len(found) > limit


async def view_of_server(handle: WorkflowHandle[object, object], found: WorkflowExecutionDescription) -> RunView:
    """What the server itself knows of a run: no steps, but how it stands or ended."""
    listed = _listed(found)
    result, error = await _result(handle, found)
    return RunView(
        run=found.id,
        process=listed.process,
        version=0,
        status=listed.status,
        output=result.output if result else None,
        error=error,
        cost=result.cost if result else Cost(),
        started=found.start_time,
        ended=found.close_time,
        steps=(),
    )


async def stopped_from_outside(
    handle: WorkflowHandle[object, object], found: WorkflowExecutionDescription, view: RunView
) -> RunView:
    """The last view of a run that was terminated or timed out: it could not say so itself."""
    known = await view_of_server(handle, found)
    ended = {"status": known.status, "error": known.error, "ended": known.ended, "waiting": (), "incidents": ()}
    return view.model_copy(update=ended)


def waits_for(found: WorkflowExecution) -> tuple[str, ...]:
    """Whose decision a run waits for, by its search attributes; `operator` for incidents."""
    return _listed(found).waits_for


async def _result(
    handle: WorkflowHandle[object, object], found: WorkflowExecutionDescription
) -> tuple[RunResult | None, ErrorInfo | None]:
    if found.status is WorkflowExecutionStatus.COMPLETED:
        return RunResult.model_validate(await handle.result()), None
    if found.status is WorkflowExecutionStatus.RUNNING:
        return None, None
    try:
        await handle.result()
    except WorkflowFailureError as failed:
        cause = failed.cause
        kind = cause.type if isinstance(cause, ApplicationError) and cause.type else type(cause).__name__
        return None, ErrorInfo(type=kind, message=getattr(cause, "message", "") or str(cause))
    return None, None


def _listed(execution: WorkflowExecution) -> Listed:
    attributes = execution.typed_search_attributes
    said = attributes.get(STATUS_ATTRIBUTE)
    status: RunStatus = _ENDED_AS.get(execution.status, "running") if execution.status else "running"
    if said in get_args(RunStatus) and (said in ENDED or status not in ENDED):
        status = cast("RunStatus", said)
    waits_for = () if status in ENDED else tuple(attributes.get(WAITS_FOR_ATTRIBUTE) or ())
    if status not in ENDED and tuple(attributes.get(REPORTED_ATTRIBUTE) or ()):
        status, waits_for = "attention", tuple(dict.fromkeys((*waits_for, OPERATOR)))
    return Listed(
        run=execution.id,
        process=attributes.get(PROCESS_ATTRIBUTE) or "",
        status=status,
        waits_for=waits_for,
        started=execution.start_time,
        ended=execution.close_time,
    )


async def _unknown(client: Client, run: str) -> str:
    there_is_none = f"there is no run {run!r} in namespace {client.namespace!r}"
    try:
        runs, _ = await list_runs(client, limit=MAX_RUNS_SEARCHED)
    except RPCError:
        return there_is_none
    close = difflib.get_close_matches(run, [found.run for found in runs], n=3, cutoff=0.6)
    if not close:
        close = [found.run for found in runs if run in found.run][:3]
    if close:
        return f"{there_is_none}; did you mean {' or '.join(close)}?"
    return there_is_none + ("; the command `list` shows those there are" if runs else "; it has no runs yet")


def quoted(text: str) -> str:
    """A text inside the quotes of a query for runs."""
    return text.replace("\\", "\\\\").replace("'", "\\'")
