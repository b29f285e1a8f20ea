"""A question about a run does not make it go on."""

import asyncio
from typing import Any, NamedTuple

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError
from temporalio.worker import Worker

from contracts.names import ASKED_TOO_EARLY

WITHOUT_EVENTS = frozenset({"do_update", "notify_has_patch", "query_workflow", "remove_from_cache"})
"""Jobs of an activation that come of no event in the history."""


class _Seen(NamedTuple):
    """Of a run, as of its last activation: when its task began, in nanoseconds; its history in events; whether that
    task is an old one.
    """

    time: int
    length: int
    is_replaying: bool

    @classmethod
    def of(cls, act: WorkflowActivation) -> "_Seen":
        return cls(act.timestamp.ToNanoseconds(), act.history_length, act.is_replaying)


class _Last(NamedTuple):
    """The last event of a history."""

    number: int
    type: EventType.ValueType


def let_no_question_move(worker: Worker) -> None:
    """Have a question fail that comes before the task of what happened last.

    A worker that is asked about a run which it does not have in memory replays it first. Core does not stop at the last
    workflow task then (SDK 1.35): it gives the workflow what came since, at the time of that earlier task, and sends
    what the workflow commands with the next one, which has another time and other parcels on replay. The run could not
    be replayed. When the question fails the worker forgets the run, and whoever asked asks again. One about a run that
    has ended is answered: there is no next task.

    The SDK has no public setting for it; a test notices when these names are gone.
    """
    inner: Any = worker._workflow_worker
    if inner is None:
        return
    handle = inner._handle_activation
    known: dict[str, _Seen] = {}
    last: dict[str, asyncio.Task[_Last | None]] = {}

    async def handled(act: WorkflowActivation) -> None:
        before = known.get(act.run_id)
        if any(job.WhichOneof("variant") != "query_workflow" for job in act.jobs):
            known[act.run_id] = _Seen.of(act)  # Of a question it would say that its task is an old one.
        if before is None and act.is_replaying:
            # Asked as the replay begins: at its end a flood of results leaves no time for it.
            last[act.run_id] = asyncio.create_task(_last_event(worker.client, _run(act)))
        if any(job.HasField("remove_from_cache") for job in act.jobs):
            del known[act.run_id]
            if act.run_id in last:
                last.pop(act.run_id).cancel()
        if before is not None and _may_be_ahead(act, before):
            run = WorkflowExecution(workflow_id=inner._running_workflows[act.run_id].workflow_id, run_id=act.run_id)
            early = await last.pop(act.run_id) if act.run_id in last else None
            if not _is_start(early, act.history_length) and await _is_ahead(worker.client, run, act.history_length):
                refused = WorkflowActivationCompletion(run_id=act.run_id)
                refused.failed.failure.message = ASKED_TOO_EARLY
                await worker._bridge_worker.complete_workflow_activation(refused)
                return
        await handle(act)

    inner._handle_activation = handled


def _may_be_ahead(act: WorkflowActivation, before: _Seen) -> bool:
    """Whether it gives a run that was replayed so far what is new, or one in memory what came at no later time. Only
    the server knows then whether a task began: the last one may have had nothing to give, and have said no time.
    """
    seen = _Seen.of(act)
    is_first_or_late = before.is_replaying or seen.time == before.time
    has_events = any(job.WhichOneof("variant") not in WITHOUT_EVENTS for job in act.jobs)
    return is_first_or_late and not seen.is_replaying and seen.length > before.length and has_events


def _run(act: WorkflowActivation) -> WorkflowExecution:
    """Of the first activation."""
    begun = next(job.initialize_workflow for job in act.jobs if job.HasField("initialize_workflow"))
    return WorkflowExecution(workflow_id=begun.workflow_id, run_id=act.run_id)


async def _last_event(client: Client, run: WorkflowExecution) -> _Last | None:
    """None: the server does not answer."""
    request = GetWorkflowExecutionHistoryReverseRequest(namespace=client.namespace, execution=run, maximum_page_size=1)
    try:
        found = await client.workflow_service.get_workflow_execution_history_reverse(request, retry=True)
    except RPCError:
        return None
    last = found.history.events[0]
    return _Last(last.event_id, last.event_type)


def _is_start(last: _Last | None, length: int) -> bool:
    """Whether a history of this length ends with the start of a workflow task, which it does for ever."""
    return last == _Last(length, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)


async def _is_ahead(client: Client, run: WorkflowExecution, length: int) -> bool:
    """Whether a run goes on whose history has no start of a workflow task as its last event, at this length. While a
    task is under way nothing comes after its start; that is not even in the history yet when the task was tried before,
    or is for an update. A server that does not answer stops no run.
    """
    last = await _last_event(client, run)
    if last is None or last.number < length or _is_start(last, length):
        return False
    try:
        now = await client.get_workflow_handle(run.workflow_id, run_id=run.run_id).describe()
    except RPCError:
        return False
    return now.status is WorkflowExecutionStatus.RUNNING
