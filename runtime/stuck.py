"""Runs that do not go on though nobody waits for anything: which there are, and why. Temporal tries on by itself, so
that nothing is lost, and tells it to nobody but who asks."""

import asyncio
from dataclasses import dataclass

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, TaskQueueType, VersioningBehavior, WorkflowTaskFailedCause
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription

from contracts.names import PROCESS_ATTRIBUTE, PROCESS_WORKFLOW, REPORTED_ATTRIBUTE
from runtime.runs import quoted

UNTOLD = "its worker cannot go on with it; the worker's log and Temporal Web say why"
LAST_EVENTS = 20
MAX_WHY = 500
_TASK_ENDED = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    }
)


@dataclass(frozen=True)
class Stuck:
    """A run whose worker cannot go on with it. `why`: for a person."""

    run: str
    process: str
    why: str


async def stuck_runs(client: Client, process: str | None = None) -> list[Stuck]:
    """Every run whose workflow task keeps failing, as Temporal's index has them."""
    query = (
        f"WorkflowType = '{PROCESS_WORKFLOW}' AND ExecutionStatus = 'Running' AND {REPORTED_ATTRIBUTE.name} IS NOT NULL"
    )
    if process is not None:
        query += f" AND {PROCESS_ATTRIBUTE.name} = '{quoted(process)}'"
    found = [execution async for execution in client.list_workflows(query)]
    whys = await asyncio.gather(*(why_stuck(client, execution.id) for execution in found))
    return [
        Stuck(execution.id, execution.typed_search_attributes.get(PROCESS_ATTRIBUTE) or "", why or UNTOLD)
        for execution, why in zip(found, whys, strict=True)
    ]


async def why_stuck(client: Client, run: str) -> str | None:
    """Why its worker cannot go on with a run, and what helps; None when its last workflow task did not fail."""
    answer = await client.workflow_service.get_workflow_execution_history_reverse(
        GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=run),
            maximum_page_size=LAST_EVENTS,
        )
    )
    last = next((event for event in answer.history.events if event.event_type in _TASK_ENDED), None)
    if last is None or last.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
        return None
    failed = last.workflow_task_failed_event_attributes
    error = await client.data_converter.decode_failure(failed.failure)
    said = " ".join((getattr(error, "message", "") or str(error)).split())[:MAX_WHY]
    if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR:
        return (
            "its history does not replay on the code of its worker, and it waits for a worker that has the code it "
            f"began with (`starter.py deploy rollback`, or start one); `starter.py replay {run}` says where they part: "
            f"{said}"
        )
    return f"its worker fails at it, and tries on: {said}"


async def why_silent(client: Client, found: WorkflowExecutionDescription) -> str:
    """Why nobody answers for a run, and what helps."""
    info = found.raw_description.workflow_execution_info.versioning_info
    build_id = info.deployment_version.build_id
    if build_id and info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED:
        return (
            f"it is on build {build_id} of {info.deployment_version.deployment_name}, and no worker of that build "
            f"answers; start one with that code and SUREFOOT_BUILD_ID={build_id}, which `starter.py deploy drain "
            f"{build_id} --move` then empties"
        )
    if builds := await _unpromoted(client, found.task_queue):
        return (
            f"its workers are builds that get no runs until they are told to; `starter.py deploy promote {builds[-1]}`"
        )
    return "no worker answers for it; start one with `worker.py`"


async def _unpromoted(client: Client, queue: str) -> list[str]:
    """The builds of the workers that ask a queue for work, where no build is the one of new runs and no worker is of
    none."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    builds = {poller.deployment_options.build_id for poller in answer.pollers}
    is_told = answer.versioning_info.current_deployment_version.build_id or "" in builds
    return [] if is_told else sorted(builds)
