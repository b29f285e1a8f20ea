"""Who asks task queues for work, as the server knows it."""

from datetime import UTC, datetime, timedelta

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentVersionRequest,
    ListWorkersRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.runs import quoted

POLLED_WITHIN = timedelta(seconds=75)
"""A worker's poll lasts a minute at most, so one that is alive was seen within this."""

LISTED_FOR = timedelta(minutes=6)
"""The server forgets who asked for work more than five minutes ago: one that seems older is so by our own clock."""

_WORKFLOWS = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW


async def worker_polls(client: Client, task_queue: str) -> bool:
    """Whether a worker has asked for work lately."""
    return bool(await _pollers(client, task_queue))


async def build_polls(client: Client, deployment: str, build_id: str) -> bool:
    """Whether a worker of a build has asked for workflows' work lately, and has not said since that it stops.

    One that was killed says nothing, so that it counts for POLLED_WITHIN.

    Raises:
        RPCError: NOT_FOUND: no worker of it ever asked.
    """
    version = WorkerDeploymentVersion(deployment_name=deployment, build_id=build_id)
    described = await client.workflow_service.describe_worker_deployment_version(
        DescribeWorkerDeploymentVersionRequest(namespace=client.namespace, deployment_version=version)
    )
    queues = [queue.name for queue in described.version_task_queues if queue.type == _WORKFLOWS]
    pollers = [poller for queue in queues for poller in await _pollers(client, queue)]
    stopped = await _stopped(client, deployment, build_id)
    return any(
        (poller.deployment_options.deployment_name, poller.deployment_options.build_id) == (deployment, build_id)
        and poller.last_access_time.ToNanoseconds() > stopped.get(poller.identity, 0)
        for poller in pollers
    )


async def _pollers(client: Client, task_queue: str) -> list[PollerInfo]:
    """Those that have asked for workflows' work lately."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=_WORKFLOWS
        )
    )
    now = datetime.now(UTC)
    ages = [now - poller.last_access_time.ToDatetime(tzinfo=UTC) for poller in answer.pollers]
    return [poller for poller, age in zip(answer.pollers, ages, strict=True) if age < POLLED_WITHIN or age > LISTED_FOR]


async def _stopped(client: Client, deployment: str, build_id: str) -> dict[str, int]:
    """When each worker of a build said that it stops, in nanoseconds since 1970, by the worker's identity."""
    query = f"DeploymentName = '{quoted(deployment)}' AND BuildId = '{quoted(build_id)}'"
    found: dict[str, int] = {}
    page = b""
    while True:
        try:
            answer = await client.workflow_service.list_workers(
                ListWorkersRequest(namespace=client.namespace, query=query, next_page_token=page)
            )
        except RPCError as error:
            if error.status is RPCStatusCode.UNIMPLEMENTED:  # an older server, which only knows who asked
                return {}
            raise
        for told in (worker.worker_heartbeat for worker in answer.workers_info):
            if told.status != WorkerStatus.WORKER_STATUS_RUNNING:
                at = told.heartbeat_time.ToNanoseconds()
                found[told.worker_identity] = max(at, found.get(told.worker_identity, 0))
        if not (page := answer.next_page_token):
            return found
