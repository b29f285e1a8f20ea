"""Loading a process for a run that was started by its name alone, waiting for a run that has a parent no more, and
loading one that ended."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeats import heartbeating
from contracts.activities import AWAIT_PROCESS, LOAD_PROCESS, LOAD_RUN, AwaitRun, EndedRun, LoadProcess, LoadRun
from contracts.errors import CallerError, ChildFailed, InputInvalid, Refused
from contracts.names import SNAPSHOT_QUERY
from contracts.run import Definition, RunRequest, RunResult
from language.schema import violations


def load_process_activity(definition: Callable[[str], Definition]) -> Callable[[LoadProcess], Awaitable[Definition]]:
    """`definition`: the checked process of a name; raises a CallerError for one that does not exist or hold."""

    @activity.defn(name=LOAD_PROCESS.name)
    async def load(request: LoadProcess) -> Definition:
        try:
            loaded = await asyncio.to_thread(definition, request.process)
        except CallerError as error:
            raise ApplicationError(str(error), type=error.type_name(), non_retryable=True) from error
        if wrong := violations(loaded.process.input, request.input):
            message = f"the input does not fit process {request.process}: {'; '.join(wrong)}"
            raise ApplicationError(message, type=InputInvalid.type_name(), non_retryable=True)
        return loaded

    return load


def await_process_activity(client: Client) -> Callable[[AwaitRun], Awaitable[RunResult]]:
    @activity.defn(name=AWAIT_PROCESS.name)
    async def await_process(request: AwaitRun) -> RunResult:
        handle = client.get_workflow_handle(request.workflow_id, result_type=RunResult)
        try:
            with heartbeating():
                result: RunResult = await handle.result()
        except WorkflowFailureError as error:
            message = f"{request.workflow_id}: {getattr(error.cause, 'message', error.cause)}"
            left = error.cause.details if isinstance(error.cause, ApplicationError) else ()
            raise ApplicationError(message, *left, type=ChildFailed.type_name(), non_retryable=True) from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            message = f"there is no run {request.workflow_id} on the server any more"
            raise ApplicationError(message, type=ChildFailed.type_name(), non_retryable=True) from error
        return result

    return await_process


def load_run_activity(client: Client) -> Callable[[LoadRun], Awaitable[EndedRun]]:
    @activity.defn(name=LOAD_RUN.name)
    async def load_run(request: LoadRun) -> EndedRun:
        handle = client.get_workflow_handle(request.run)
        try:
            found = await handle.describe()
            if found.status is WorkflowExecutionStatus.RUNNING:
                raise _refused(f"{request.run} has not ended; repair it in place, or cancel it first")
            ended: RunRequest = await handle.query(SNAPSHOT_QUERY, result_type=RunRequest)
        except WorkflowQueryFailedError as error:
            raise _refused(f"{request.run} never began: {error}; start it anew") from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise _refused(f"there is no run {request.run} on the server, or not any more") from error
        is_completed = found.status is WorkflowExecutionStatus.COMPLETED
        return EndedRun(request=ended, is_completed=is_completed, part_of=found.parent_id)

    return load_run


def _refused(message: str) -> ApplicationError:
    return ApplicationError(str(Refused(message)), type=Refused.type_name(), non_retryable=True)
