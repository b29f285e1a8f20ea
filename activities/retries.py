"""Retries that are under way at the server: the next one at once."""

from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import Client

from contracts.activities import RETRY_NOW, RetriedNow, RetryNow


def retry_now_activity(client: Client) -> Callable[[RetryNow], Awaitable[RetriedNow]]:
    @activity.defn(name=RETRY_NOW.name)
    async def retry_now(request: RetryNow) -> RetriedNow:
        found = await client.get_workflow_handle(request.workflow_id, run_id=request.run_id).describe()
        open_ones = found.raw_description.pending_activities
        pending = next((each for each in open_ones if each.activity_id == request.activity_id), None)
        if pending is None:
            return RetriedNow()
        is_between = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and pending.attempt > 1
        if is_between:
            await client.workflow_service.reset_activity(
                ResetActivityRequest(
                    namespace=client.namespace,
                    execution=WorkflowExecution(workflow_id=request.workflow_id, run_id=request.run_id),
                    identity=client.identity,
                    id=request.activity_id,
                )
            )
        return RetriedNow(attempt=pending.attempt, was_waiting=is_between)

    return retry_now
