"""Workflows that take an update at any time, while they wait for an activity."""

import asyncio
import contextlib
from datetime import datetime, timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ActivityError


@workflow.defn
class GoesOn:
    """A workflow that goes on with a timer once an activity has its result."""

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
class Ends:
    """A workflow that ends once an activity has its result and all that it was told is done."""

    def __init__(self) -> None:
        self._is_told = False

    @workflow.run
    async def run(self) -> bool:
        await workflow.execute_activity(
            "held", task_queue=f"{workflow.info().task_queue}-held", start_to_close_timeout=timedelta(minutes=1)
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._is_told

    @workflow.update
    async def tell(self) -> None:
        await asyncio.sleep(0.1)
        self._is_told = True


@workflow.defn
class Tells:
    """A workflow that notes the time when its timer fires, and then waits for what it is told. `cancels`: its last task
    before that has nothing to give it, but the end of a call which it does not wait for any more."""

    def __init__(self) -> None:
        self._is_told = False

    @workflow.run
    async def run(self, cancels: bool) -> datetime:
        call = workflow.start_activity("nobody", start_to_close_timeout=timedelta(seconds=5)) if cancels else None
        await workflow.sleep(timedelta(milliseconds=10))  # The worker knows it by more than its beginning.
        if call is not None:
            call.cancel()
            with contextlib.suppress(ActivityError):
                await call
        await workflow.sleep(timedelta(seconds=1))
        fired = workflow.now()
        await workflow.wait_condition(lambda: self._is_told)
        return fired

    @workflow.signal
    def tell(self) -> None:
        self._is_told = True

    @workflow.query
    def is_told(self) -> bool:
        return self._is_told


@workflow.defn
class Notes:
    """A workflow that is told three times: it cancels a call, whose end is all that its next task has to give it; notes
    the time; ends."""

    def __init__(self) -> None:
        self._told = 0

    @workflow.run
    async def run(self) -> datetime:
        call = workflow.start_activity("nobody", start_to_close_timeout=timedelta(seconds=5))
        await workflow.wait_condition(lambda: self._told > 0)
        call.cancel()
        with contextlib.suppress(ActivityError):
            await call
        await workflow.wait_condition(lambda: self._told > 1)
        told = workflow.now()
        await workflow.wait_condition(lambda: self._told > 2)
        return told

    @workflow.signal
    def tell(self) -> None:
        self._told += 1

    @workflow.query
    def told(self) -> int:
        return self._told


class Held:
    """An activity that ends when it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    @activity.defn(name="held")
    async def held(self) -> None:
        self.begun.set()
        await self.gate.wait()
