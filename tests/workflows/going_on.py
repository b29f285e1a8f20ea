"""Workflows that go on once an activity has its result, with a timer or as another run; both take an update."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow


@workflow.defn
class GoesOn:
    def __init__(self) -> None:
        self._is_told = False

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            "held", task_queue=f"{workflow.info().task_queue}-held", start_to_close_timeout=timedelta(minutes=1)
        )
        await asyncio.gather(asyncio.sleep(0.1), workflow.wait_condition(lambda: self._is_told))

    @workflow.update
    async def tell(self) -> None:
        self._is_told = True


@workflow.defn
class GoesOnAnew:
    """Continues as new as our runs do: when no message is under way."""

    def __init__(self) -> None:
        self._is_told = False

    @workflow.run
    async def run(self, is_new: bool) -> None:
        if is_new:
            await workflow.execute_activity(
                "held", task_queue=f"{workflow.info().task_queue}-held", start_to_close_timeout=timedelta(minutes=1)
            )
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(False)
        await workflow.wait_condition(lambda: self._is_told)

    @workflow.signal
    def look(self, text: str) -> None:
        """Nothing but a task."""

    @workflow.update
    async def tell(self) -> None:
        await workflow.sleep(timedelta(milliseconds=1))
        self._is_told = True


class Held:
    """An activity that ends when it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    @activity.defn(name="held")
    async def held(self) -> None:
        self.begun.set()
        await self.gate.wait()
