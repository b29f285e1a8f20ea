"""Child workflows that failed: what they had used, what they left, what it means for whoever started them."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from contracts.agent import AgentFailure
    from contracts.base import Json
    from contracts.decisions import Cancel
    from contracts.errors import Cancelled, ChildFailed, StepError
    from contracts.model import Usage
    from contracts.names import CANCEL
    from workflows.calls import step_error
    from workflows.signals import tell

ADOPTED_RUN_TIMEOUT = timedelta(days=365)


async def stop(
    child: "workflow.ExternalWorkflowHandle[Any] | workflow.ChildWorkflowHandle[Any, Any]", said: Cancel
) -> None:
    """Tell a sub-process to stop. One that has just ended cannot be told, nor has to."""
    try:
        await tell(child, CANCEL, said)
    except ApplicationError:
        workflow.logger.warning("%s has ended before it was told to stop", child.id)


def usage_of(error: BaseException | None) -> Usage:
    """What a sub-process had used when it failed."""
    details = _details(error)
    return Usage.model_validate(details["usage"]) if "usage" in details else Usage()


def was_tainted(error: BaseException | None) -> bool:
    """Whether a sub-process had read text from outside before it failed: its error may hold some."""
    return bool(_details(error).get("tainted"))


def left_by(error: BaseException | None) -> tuple[str, ...]:
    """What a sub-process that failed would do once more, were it to go on; each as `step (tool)`."""
    return tuple(map(str, _details(error).get("stands", ())))


def has_begun(error: ChildWorkflowError) -> bool:
    """Whether a sub-process that failed had come to its first step. One that may not start tells of nothing."""
    return not isinstance(error.cause, ApplicationError) or bool(_details(error))


def failure_of(error: ChildWorkflowError) -> AgentFailure:
    """What an agent had used and left when it failed; nothing when it was stopped from outside."""
    return AgentFailure.model_validate(_details(error))


def meaning(error: ChildWorkflowError, name: str, detail: Json = None, *, is_stopped: bool) -> StepError:
    """What a child's failure means. `detail`: of the error, for whoever repairs the step. `is_stopped`: whoever started
    it was stopped, and the child with it.

    Raises:
        asyncio.CancelledError: it is stopped for that.
    """
    cause = error.cause
    is_cancelled = isinstance(cause, ApplicationError) and cause.type == Cancelled.type_name()
    if is_stopped and (is_cancelled or isinstance(cause, CancelledError)):
        raise asyncio.CancelledError from error
    if isinstance(cause, CancelledError):
        return ChildFailed(f"{name}: somebody cancelled it through Temporal")
    if isinstance(cause, ApplicationError):
        return step_error(cause.type, f"{name}: {cause.message}", detail, default=ChildFailed)
    return ChildFailed(f"{name}: {cause or error}")


def is_stopped() -> bool:
    """Whether the call that waits for a child was itself cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def taken(child: str) -> StepError:
    return ChildFailed(f"workflow id {child} is in use by a run that this one did not start; end that one, then retry")


def _details(error: BaseException | None) -> dict[str, Json]:
    """What a sub-process said as it failed, whether this run started it or waits for it by an activity."""
    cause = error.cause if isinstance(error, ChildWorkflowError | ActivityError) else None
    details = cause.details if isinstance(cause, ApplicationError) else ()
    return next((detail for detail in details if isinstance(detail, dict) and "usage" in detail), {})
