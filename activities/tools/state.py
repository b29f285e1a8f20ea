"""The shared state of a run, for the tools that agents read and write it with: asked of the run itself."""

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import OutputInvalid, Refused, StateConflict, StepError
from contracts.names import PUT_STATE, STATE_QUERY
from contracts.state import PutState, StateValue
from contracts.tools import ToolError

ANSWERS = frozenset(error.type_name() for error in (OutputInvalid, Refused, StateConflict, StepError))
"""What a run answers to a write that does not hold; anything else may pass."""


class RunState:
    """`contracts.state.StateStore` through a run's query `state` and update `put_state`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, run: str, key: str) -> StateValue:
        value: StateValue = await self._client.get_workflow_handle(run).query(STATE_QUERY, key, result_type=StateValue)
        return value

    async def put(self, run: str, write: PutState) -> StateValue:
        """Raises:
        ToolError: the write did not take hold; with the newer value and version when somebody was faster.
        """
        handle = self._client.get_workflow_handle(run)
        try:
            value: StateValue = await handle.execute_update(PUT_STATE, write, result_type=StateValue)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            message = cause.message if isinstance(cause, ApplicationError) else str(cause)
            is_answer = isinstance(cause, ApplicationError) and cause.type in ANSWERS
            raise ToolError(message, retry=not is_answer) from error
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise ToolError(f"the run {run} has ended", retry=False) from error
            raise
        return value
