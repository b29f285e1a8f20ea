"""Runs as the server and their workers tell them: one as it stands, one as it changes, or a list."""

import asyncio
import difflib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar, cast, get_args

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.agent import AgentView
from contracts.base import Contract
from contracts.errors import ErrorInfo, UnknownRun
from contracts.names import PROCESS_ATTRIBUTE, PROCESS_WORKFLOW, STATUS_ATTRIBUTE, VIEW_QUERY, WAITS_FOR_ATTRIBUTE
from contracts.run import ENDED, Cost, RunResult, RunStatus, RunView, StepView

QUERY_TIMEOUT = timedelta(seconds=5)
V = TypeVar("V", bound=Contract)

POLL = 0.4
"""Seconds between two looks at a run; the run itself is asked only when its history has grown."""

MAX_AGENTS_WATCHED = 12
MAX_RUNS_SEARCHED = 500

_NO_WORKER = (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
_ENDED_AS: dict[WorkflowExecutionStatus, RunStatus] = {
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "cancelled",
    WorkflowExecutionStatus.TIMED_OUT: "failed",
}


@dataclass(frozen=True)
class Attempt:
    """An activity that is under way: its number, the last failure of those before, when the next one starts."""

    number: int
    failure: str | None = None
    next_at: datetime | None = None


@dataclass(frozen=True)
class Observation:
    """A run at one moment. `silent`: why its view is only what the server knows, when no worker answered.

    `attempts`: by step. `agents`: by step, of the agents at work.
    """

    view: RunView
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    agents: Mapping[str, AgentView] = field(default_factory=dict)
    silent: str | None = None

    @property
    def ended(self) -> bool:
        return self.view.status in ENDED

    def without_waiting(self) -> "Observation":
        """For a screen that shows what is waited for in its own way."""
        return replace(self, view=self.view.model_copy(update={"waiting": ()}))


class Listed(Contract):
    """A run in a list. `waits_for`: people, groups, `operator`."""

    run: str
    process: str
    status: RunStatus
    waits_for: tuple[str, ...]
    started: datetime
    ended: datetime | None


class Watch:
    """Looks at one run again and again, asking its worker no more than needed."""

    def __init__(self, client: Client, run: str) -> None:
        self._client = client
        self._run = run
        self._handle: WorkflowHandle[object, object] = client.get_workflow_handle(run)
        self._known: tuple[str, int, RunView] | None = None
        self._agents: dict[str, tuple[int, AgentView]] = {}

    async def look(self) -> Observation:
        """The run now.

        Raises:
            UnknownRun: there is none of this name.
        """
        found = await describe(self._client, self._run)
        pending = found.raw_description.pending_activities
        attempts = {
            activity.activity_id: Attempt(
                number=activity.attempt,
                failure=activity.last_failure.message or None if activity.HasField("last_failure") else None,
                next_at=(
                    activity.next_attempt_schedule_time.ToDatetime().replace(tzinfo=found.start_time.tzinfo)
                    if activity.HasField("next_attempt_schedule_time")
                    else None
                ),
            )
            for activity in pending
        }
        try:
            view = await self._view(found)
        except _NoAnswerError as error:
            return Observation(await _view_of_server(self._handle, found), attempts, silent=str(error))
        return Observation(_with_attempts(view, attempts), attempts, await self._working_agents(view))

    async def changes(self) -> AsyncGenerator[Observation, None]:
        """The run whenever one looks, until it has ended; a server that stops answering is waited for."""
        while True:
            try:
                now = await self.look()
            except RPCError as error:
                if error.status not in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED):
                    raise
            else:
                yield now
                if now.ended:
                    return
            await asyncio.sleep(POLL)

    async def _view(self, found: WorkflowExecutionDescription) -> RunView:
        if self._known is not None and self._known[:2] == (found.run_id, found.history_length):
            return self._known[2]
        view = await _query(self._handle, RunView)
        self._known = (found.run_id, found.history_length, view)
        return view

    async def _working_agents(self, view: RunView) -> dict[str, AgentView]:
        working = [step for step in view.steps if step.kind == "agent" and step.status == "running" and step.child]
        if view.status in ENDED:
            working = []
        views: dict[str, AgentView] = {}
        for step in working[:MAX_AGENTS_WATCHED]:
            if (agent := await self._agent(step.child or "")) is not None:
                views[step.id] = agent
        return views

    async def _agent(self, workflow_id: str) -> AgentView | None:
        handle: WorkflowHandle[object, object] = self._client.get_workflow_handle(workflow_id)
        try:
            length = (await handle.describe()).history_length
            known = self._agents.get(workflow_id)
            if known is None or known[0] != length:
                known = self._agents[workflow_id] = (length, await _query(handle, AgentView))
        except (RPCError, _NoAnswerError):
            return None  # It has not started, or has just ended: the run itself tells.
        return known[1]


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
        query += f" AND {PROCESS_ATTRIBUTE.name} = '{_quoted(process)}'"
    if status in ENDED:
        # A run that was terminated, or failed before its first step, could not say so itself.
        query += " AND ExecutionStatus != 'Running'"
    elif status is not None:
        query += f" AND ExecutionStatus = 'Running' AND {STATUS_ATTRIBUTE.name} = '{status}'"
    found: list[Listed] = []
    async for execution in client.list_workflows(query, page_size=min(1000, limit + 1)):
        listed = _listed(execution)
        if status is None or listed.status == status:
            found.append(listed)
        if len(found) > limit:
            break
    newest = sorted(found[:limit], key=lambda run: run.started, reverse=True)
    return newest, len(found) > limit


class _NoAnswerError(Exception):
    """The worker of a workflow did not answer; why."""


async def _query(handle: WorkflowHandle[object, object], model: type[V]) -> V:
    try:
        view: V = await handle.query(VIEW_QUERY, result_type=model, rpc_timeout=QUERY_TIMEOUT)
    except WorkflowQueryFailedError as error:
        raise _NoAnswerError(str(error)) from error
    except RPCError as error:
        if error.status is RPCStatusCode.FAILED_PRECONDITION and "failed state" in error.message:
            why = "its worker cannot go on with it; the worker's log and Temporal Web say why"
        elif error.status in _NO_WORKER:
            why = "no worker answers for it; start one with `worker.py`"
        else:
            raise
        raise _NoAnswerError(why) from error
    return view


async def _view_of_server(handle: WorkflowHandle[object, object], found: WorkflowExecutionDescription) -> RunView:
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
    return Listed(
        run=execution.id,
        process=attributes.get(PROCESS_ATTRIBUTE) or "",
        status=status,
        waits_for=() if status in ENDED else tuple(attributes.get(WAITS_FOR_ATTRIBUTE) or ()),
        started=execution.start_time,
        ended=execution.close_time,
    )


def _with_attempts(view: RunView, attempts: Mapping[str, Attempt]) -> RunView:
    """The view with the attempts under way counted in; the run itself learns of them when they end."""

    def counted(step: StepView) -> StepView:
        attempt = attempts.get(step.id)
        if attempt is None or step.status not in ("running", "undoing"):
            return step
        return step.model_copy(update={"attempts": step.attempts + attempt.number})

    return view.model_copy(update={"steps": tuple(counted(step) for step in view.steps)})


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


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
