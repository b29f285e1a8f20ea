"""What a run of processes might be in another release, by a module of its own: workflows are loaded apart from tests."""

from typing import Any

from temporalio import workflow

from contracts.names import PROCESS_WORKFLOW


@workflow.defn(name=PROCESS_WORKFLOW)
class OtherCode:
    """It does something else first."""

    @workflow.run
    async def run(self, *payload: Any) -> None:
        await workflow.sleep(3_600)
