"""A workflow that thinks better of a signal before it is sent."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.asks import Withdrawal
    from contracts.names import WITHDRAW_SIGNAL
    from workflows.signals import tell


@workflow.defn
class ThinksBetter:
    @workflow.run
    async def run(self) -> str:
        whom = workflow.get_external_workflow_handle("nobody")
        telling = asyncio.create_task(tell(whom, WITHDRAW_SIGNAL, Withdrawal(id="1", step="ask")))
        await asyncio.sleep(0)
        telling.cancel()
        try:
            await telling
        except asyncio.CancelledError:
            return "was cancelled"
        return "was sent"
