"""A question about a run does not make it go on."""

from typing import Any, NamedTuple

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError
from temporalio.worker import Worker

from contracts.names import ASKED_TOO_EARLY

WITHOUT_EVENTS = frozenset({"do_update", "notify_has_patch", "query_workflow", "remove_from_cache"})
"""Jobs of an activation that come of no event in the history."""


class _Seen(NamedTuple):
    """Of a run, as of its last activation: when its task began, in nanoseconds; its history in bytes, and in events."""

    time: int
    size: int
    length: int

    @classmethod
    def of(cls, act: WorkflowActivation) -> "_Seen":
        return cls(act.timestamp.ToNanoseconds(), act.history_size_bytes, act.history_length)


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

    async def handled(act: WorkflowActivation) -> None:
        before = known.get(act.run_id)
        known[act.run_id] = _Seen.of(act)
        if any(job.HasField("remove_from_cache") for job in act.jobs):
            del known[act.run_id]
        if before is not None and _is_ahead(act, before):
            workflow = inner._running_workflows[act.run_id].workflow_id
            if await _goes_on(worker.client, workflow, act.run_id):
                refused = WorkflowActivationCompletion(run_id=act.run_id)
                refused.failed.failure.message = ASKED_TOO_EARLY
                await worker._bridge_worker.complete_workflow_activation(refused)
                return
        await handle(act)

    inner._handle_activation = handled


def _is_ahead(act: WorkflowActivation, before: _Seen) -> bool:
    """Whether something has happened, and no task began. Its start would say another time, and another size of the
    history, which stays the same only where a task comes at once after one that was tried again. Servers that skip time
    say no size.
    """
    seen = _Seen.of(act)
    is_same_task = seen.time == before.time and seen.size == before.size > 0
    has_events = any(job.WhichOneof("variant") not in WITHOUT_EVENTS for job in act.jobs)
    return is_same_task and seen.length > before.length and has_events


async def _goes_on(client: Client, workflow: str, run: str) -> bool:
    try:
        found = await client.get_workflow_handle(workflow, run_id=run).describe()
    except RPCError:
        return True
    return found.status is WorkflowExecutionStatus.RUNNING
