"""Runs as the server and their workers tell them: one as it stands, one as it changes, or a list."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from contracts.activities import CALL_MODEL
from contracts.agent import AgentView
from contracts.base import Contract
from contracts.live import Speech
from contracts.names import ASKED_TOO_EARLY, VIEW_QUERY
from contracts.run import ENDED, Page, RunView, StepView
from runtime.runs import describe, stopped_from_outside, view_of_server, waits_for
from runtime.stuck import why_silent, why_stuck

FIRST_TIMEOUT = timedelta(seconds=2)
QUERY_TIMEOUT = timedelta(seconds=5)
ASKS = 25
ASKS_AFTER = 0.2
"""Times that a question which came too early is asked, and the seconds between them."""
V = TypeVar("V", bound=Contract)

POLL = 0.4
"""Seconds between two looks at a run; the run itself is asked only when its history has grown."""

MAX_AGENTS_WATCHED = 12
NEVER_STARTED = "it ended before its first step"

_NO_WORKER = (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


@dataclass(frozen=True)
class Attempt:
    """An activity that is under way: its number, the last failure of those before, when the next one starts."""

    number: int
    failure: str | None = None
    next_at: datetime | None = None


@dataclass(frozen=True)
class Observation:
    """A run at one moment. `silent`: why its view is only what the server knows, when no worker answered;
    `waits_for` is then who is waited for.

    `attempts`: by step. `agents`: by step, of the agents at work; `children`: those agents as the server knows them;
    `speech`: what they are saying.
    """

    view: RunView
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    agents: Mapping[str, AgentView] = field(default_factory=dict)
    children: Mapping[str, WorkflowExecutionDescription] = field(default_factory=dict)
    speech: Mapping[str, Speech] = field(default_factory=dict)
    silent: str | None = None
    waits_for: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return self.view.status in ENDED

    def without_waiting(self) -> "Observation":
        """For a screen that shows what is waited for in its own way."""
        return replace(self, view=self.view.model_copy(update={"waiting": ()}))


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
            _called(activity): Attempt(
                number=activity.attempt,
                failure=await _said(found, activity.last_failure) if activity.HasField("last_failure") else None,
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
        except NoAnswerError as error:
            known = await view_of_server(self._handle, found)
            why = (
                NEVER_STARTED
                if error.loading and known.status in ENDED
                else await explained(self._client, found, error)
            )
            return Observation(known, attempts, silent=why, waits_for=waits_for(found))
        if found.status is not WorkflowExecutionStatus.RUNNING and view.status not in ENDED:
            view = await stopped_from_outside(self._handle, found, view)
        children = await self._working_agents(view)
        return Observation(
            _with_attempts(view, attempts),
            attempts,
            agents={
                step: agent
                for step, child in children.items()
                if (agent := await self._agent(child)) is not None and agent.status == "running"
            },
            children=children,
            speech={
                step: speech for step, child in children.items() if (speech := await speech_of(self._client, child))
            },
        )

    async def changes(self) -> AsyncGenerator[Observation, None]:
        """The run whenever one looks, until it has ended; a server that stops answering is waited for, and the run is
        as it was when it last did."""
        last: Observation | None = None
        while True:
            try:
                now = last = await self.look()
            except RPCError as error:
                if not is_away(error):
                    raise
                if last is not None:
                    yield replace(last, silent=self._away)
            else:
                yield now
                if now.ended:
                    return
            await asyncio.sleep(POLL)

    @property
    def _away(self) -> str:
        address = self._client.service_client.config.target_host
        return f"the server at {address} does not answer; this goes on once it does"

    async def _view(self, found: WorkflowExecutionDescription) -> RunView:
        if self._known is not None and self._known[:2] == (found.run_id, found.history_length):
            return self._known[2]
        view = await query_view(self._handle, RunView)
        while view.next is not None:
            page = await query_view(self._handle, RunView, Page(offset=view.next))
            view = view.model_copy(update={"steps": (*view.steps, *page.steps), "next": page.next})
        self._known = (found.run_id, found.history_length, view)
        return view

    async def _working_agents(self, view: RunView) -> dict[str, WorkflowExecutionDescription]:
        working = [] if view.status in ENDED else [step for step in view.steps if is_agent(step) and is_at_work(step)]
        found: dict[str, WorkflowExecutionDescription] = {}
        for step in working[:MAX_AGENTS_WATCHED]:
            try:
                found[step.id] = await self._client.get_workflow_handle(step.child or "").describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise  # else it has not started: the run itself tells
        return found

    async def _agent(self, child: WorkflowExecutionDescription) -> AgentView | None:
        known = self._agents.get(child.id)
        if known is not None and known[0] == child.history_length:
            return known[1]
        handle: WorkflowHandle[object, object] = self._client.get_workflow_handle(child.id)
        try:
            view = await query_view(handle, AgentView)
        except (RPCError, NoAnswerError):
            return None  # it has just ended, or no worker answers: the run itself tells
        self._agents[child.id] = (child.history_length, view)
        return view


def is_away(error: RPCError) -> bool:
    """Whether the server cannot be reached, or is not itself; the SDK says "unknown" of a line that breaks."""
    return error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNKNOWN)


def is_agent(step: StepView) -> bool:
    """Whether an agent works for the step: as its own, or as the planner of a goal."""
    return step.kind in ("agent", "goal") and step.child is not None


def is_at_work(step: StepView) -> bool:
    return step.status in ("running", "waiting")


async def speech_of(client: Client, agent: WorkflowExecutionDescription) -> Speech | None:
    """What an agent is saying: the heartbeat details of its model call, when one is under way."""
    for pending in agent.raw_description.pending_activities:
        if pending.activity_type.name == CALL_MODEL.name and pending.heartbeat_details.payloads:
            return Speech.among(await client.data_converter.decode(pending.heartbeat_details.payloads))
    return None


class NoAnswerError(Exception):
    """The worker of a workflow did not answer; why. `loading`: the run has no steps yet. `failing`: there is a worker,
    and it cannot go on with the run."""

    def __init__(self, why: str, *, loading: bool = False, failing: bool = False) -> None:
        super().__init__(why)
        self.loading = loading
        self.failing = failing


async def explained(client: Client, found: WorkflowExecutionDescription, error: NoAnswerError) -> str:
    """Why nobody answered for a run, as far as the server knows."""
    if error.loading:
        return str(error)
    if error.failing or found.raw_description.pending_workflow_task.attempt > 1:
        return await why_stuck(client, found.id) or await why_silent(client, found)
    return await why_silent(client, found)


async def query_view(handle: WorkflowHandle[object, object], model: type[V], *page: Page) -> V:
    """The view of a run or an agent.

    Raises:
        NoAnswerError: its worker does not answer.
    """
    view: V = await query_run(handle, VIEW_QUERY, model, *page)
    return view


async def query_run(handle: WorkflowHandle[object, object], query: str, model: Any, *given: object) -> Any:
    """The answer to any query.

    Raises:
        NoAnswerError: the workflow's worker does not answer.
    """
    try:
        return await ask(handle, query, model, *given)
    except WorkflowQueryFailedError as error:
        raise NoAnswerError(str(error), loading=True) from error
    except RPCError as error:
        if error.status not in _NO_WORKER:
            raise
        failing = error.status is RPCStatusCode.FAILED_PRECONDITION and "failed state" in error.message
        why = "its worker cannot go on with it" if failing else "no worker answers for it"
        raise NoAnswerError(why, failing=failing) from error


async def ask(handle: WorkflowHandle[Any, Any], query: str, model: Any, *given: object) -> Any:
    """The answer to a query, as Temporal gives it. What came too early is asked again.

    Raises:
        RPCError: nobody answers.
        WorkflowQueryFailedError: the workflow refuses.
    """
    for _ in range(ASKS):
        try:
            return await _ask(handle, query, model, *given)
        except WorkflowQueryFailedError as error:
            if error.message != ASKED_TOO_EARLY:
                raise
        await asyncio.sleep(ASKS_AFTER)
    return await _ask(handle, query, model, *given)


async def _ask(handle: WorkflowHandle[Any, Any], query: str, model: Any, *given: object) -> Any:
    """Once more when no answer comes: a worker loses the queries that wait for a run which it puts out of its memory
    just then.
    """
    try:
        return await handle.query(query, args=given, result_type=model, rpc_timeout=FIRST_TIMEOUT)
    except RPCError as error:
        if error.status not in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise
    return await handle.query(query, args=given, result_type=model, rpc_timeout=QUERY_TIMEOUT)


def _called(activity: PendingActivityInfo) -> str:
    """What an activity is known by: the step that it is for, or what it does for the run as a whole."""
    return activity.activity_type.name if activity.activity_id.isdigit() else activity.activity_id


async def _said(found: WorkflowExecutionDescription, failure: Failure) -> str | None:
    """The message of a failure, which may be encrypted."""
    error = await found.data_converter.decode_failure(failure)
    return getattr(error, "message", "") or None


def _with_attempts(view: RunView, attempts: Mapping[str, Attempt]) -> RunView:
    """The view with the attempts under way counted in; the run itself learns of them when they end."""

    def counted(step: StepView) -> StepView:
        attempt = attempts.get(step.id)
        if attempt is None or step.status not in ("running", "undoing"):
            return step
        return step.model_copy(update={"attempts": step.attempts + attempt.number})

    return view.model_copy(update={"steps": tuple(counted(step) for step in view.steps)})
