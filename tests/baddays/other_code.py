"""What a run of a process might be in another release; in a module of its own, since workflows are loaded apart."""

from typing import Any

from temporalio import workflow

from contracts.names import PROCESS_WORKFLOW


@workflow.defn(name=PROCESS_WORKFLOW)
class OtherCode:
    """It does something else first."""

    @workflow.run
    async def run(self, *payload: Any) -> None:
        await workflow.sleep(3_600)
