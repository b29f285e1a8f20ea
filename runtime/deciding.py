"""Saying something to a run: decisions, repairs and cancels, as updates that are answered."""

import asyncio
import random
import time
from datetime import timedelta

import uuid_utils
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Contract
from contracts.decisions import Cancel, Decision, Receipt, Repair
from contracts.errors import CallerError, Refused, ServerUnreachable
from contracts.migration import Migration
from contracts.names import CANCEL, DECIDE, MIGRATE, RECEIPT_QUERY, REPAIR
from contracts.plain import some
from contracts.run import ENDED, Page, RunView, Waiting
from runtime.runs import describe, stopped_from_outside
from runtime.watch import NoAnswerError, Watch, explained, query_run, query_view

ANSWER_TIMEOUT = timedelta(seconds=15)
CROWDED_FOR = timedelta(minutes=2)
"""How long it is said again to a run to which too many speak at once: the server takes ten updates in flight."""
LONGEST_PAUSE = 2.0
"""Seconds between two tries."""

_GIVEN_UP = ("workflow update was aborted", "unexpected workflow task failure")
"""What the server says of an update that it does not know the outcome of; it answers the same id again."""

_UPDATES: dict[type[Contract], str] = {
    Decision: DECIDE,
    Repair: REPAIR,
    Cancel: CANCEL,
    Migration: MIGRATE,
}


async def send(client: Client, run: str, message: Decision | Repair | Cancel | Migration) -> Receipt:
    """Say it; the run's answer.

    Raises:
        Refused: it does not hold; the run says why.
        UnknownRun: there is no such run.
        ServerUnreachable: no worker answered in time.
    """
    end, pause = time.monotonic() + CROWDED_FOR.total_seconds(), 0.1
    while True:
        try:
            return await _say(client, run, message)
        except RPCError as error:
            if not _passes(error, message):
                raise
            if time.monotonic() > end:
                raise ServerUnreachable(
                    f"too many speak to {run} at once, and this did not come through in {CROWDED_FOR.seconds // 60} "
                    f"minutes; look with `status {run}` whether it counts before saying it again"
                ) from error
        # The same id again is the same message, so that nothing counts twice.
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 -- for jitter
        pause = min(2 * pause, LONGEST_PAUSE)


def _passes(error: RPCError, message: Decision | Repair | Cancel | Migration) -> bool:
    """Whether it can be said again: too many speak at once, or the server gave up an update on its way, as it does
    when a run continues as new or a worker dies of a task."""
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return True
    return message.id is not None and any(said in error.message for said in _GIVEN_UP)


async def _say(client: Client, run: str, message: Decision | Repair | Cancel | Migration) -> Receipt:
    try:
        receipt: Receipt = await client.get_workflow_handle(run).execute_update(
            _UPDATES[type(message)],
            message,
            id=message.id,
            result_type=Receipt,
            rpc_timeout=ANSWER_TIMEOUT,
        )
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        raise Refused(cause.message if isinstance(cause, ApplicationError) else str(cause)) from error
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise ServerUnreachable(
            f"no worker answered for {run} within {ANSWER_TIMEOUT.seconds} seconds, so it is not known whether this "
            f"counts; start a worker, then look with `starter.py status {run}` before saying it again"
        ) from error
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        found = await describe(client, run)
        ended = found.status.name.lower() if found.status else "over"
        raise Refused(f"run {run} has ended ({ended}); nothing can be decided about it any more") from error
    return receipt


async def decision_on(
    client: Client,
    run: str,
    step: str | None,
    *,
    decision: str,
    by: str,
    comment: str,
    edits: object = None,
    to: str | None = None,
) -> Decision:
    """A decision bound to what the approval shows now.

    Raises:
        UnknownRun: there is no such run.
        CallerError: no step is named, and not exactly one approval is open.
        ServerUnreachable: no worker answers, so that what would be decided on is not known.
    """
    _, waiting = await asked_now(client, run, step)
    return Decision.model_validate(
        {
            "step": waiting.step if waiting else step,
            "decision": decision,
            "by": by,
            "comment": comment,
            "id": new_id(),
            "hash": waiting.hash if waiting else None,
            "edits": edits,
            "to": to,
        }
    )


async def asked_now(client: Client, run: str, step: str | None) -> tuple[RunView, Waiting | None]:
    """The run, and its open approval: of this step, None when it has none, or the only one.

    Raises:
        UnknownRun: there is no such run.
        CallerError: no step is named, and not exactly one approval is open.
        ServerUnreachable: no worker answers.
    """
    seen = await Watch(client, run).look()
    if seen.silent and not seen.ended:
        raise ServerUnreachable(f"it is not known what is asked in {run}, so nothing was done: {seen.silent}")
    waiting = _open_approval(seen.view, step)
    if waiting is None and step is not None and not seen.ended:
        # A view has the first waits of many.
        waiting = _open_approval(await look_at_step(client, run, step), step)
    return seen.view, waiting


async def look_at_step(client: Client, run: str, step: str) -> RunView:
    """The run with this step alone, and all that is shown to those who decide it.

    Raises:
        UnknownRun: there is no such run.
        ServerUnreachable: no worker answers.
    """
    found = await describe(client, run)
    handle = client.get_workflow_handle(run)
    try:
        view = await query_view(handle, RunView, Page(step=step))
    except NoAnswerError as error:
        why = await explained(client, found, error)
        raise ServerUnreachable(f"{run} cannot be looked at: {why}") from error
    if found.status is not WorkflowExecutionStatus.RUNNING and view.status not in ENDED:
        return await stopped_from_outside(handle, found, view)
    return view


async def receipt_of(client: Client, run: str, message: str) -> Receipt | None:
    """What the run answered to the message with this id; None when it has not taken it.

    Raises:
        ServerUnreachable: no worker answers.
    """
    try:
        found: Receipt | None = await query_run(client.get_workflow_handle(run), RECEIPT_QUERY, Receipt | None, message)
    except NoAnswerError as error:
        raise ServerUnreachable(f"{run} cannot be asked: {error}") from error
    return found


def _open_approval(view: RunView, step: str | None) -> Waiting | None:
    approvals = [waiting for waiting in view.waiting if waiting.kind == "approval"]
    if step is not None:
        return next((waiting for waiting in approvals if waiting.step == step), None)
    if len(approvals) == 1:
        return approvals[0]
    if not approvals:
        raise CallerError(f"nothing in run {view.run} waits for a decision; its status is {view.status}")
    names = some([waiting.step for waiting in approvals])
    raise CallerError(f"several steps of {view.run} wait for a decision: {names}; name the one you decide")


def new_id() -> str:
    return str(uuid_utils.uuid7())
