"""Deaths of the worker, played within the test's process: what it has at work is lost with it, and whatever works from
then on knows of a run what its history says."""

import asyncio
from typing import Any, NoReturn

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.faults.dice import Dice
from activities.faults.points import FaultPoints
from contracts.errors import ToolFailed

Task = asyncio.Task[Any] | None
"""As asyncio says which is the current one."""


class Deaths(Interceptor):
    """The fault points of a worker that only seems to die.

    `begun`: the place of every activity so far. `at_work`: those that go on; `lost`: those that the worker took along.
    """

    def __init__(self, dice: Dice) -> None:
        self._points = FaultPoints(dice, self._die)
        self.begun: set[str] = set()
        self.at_work: set[Task] = set()
        self.lost: set[Task] = set()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - theirs
        return _Mortal(self._points.intercept_activity(next), self)

    async def have_been_everywhere(self) -> None:
        """Raises:
        AssertionError: no activity came to a place that `at` names; with those that began.
        """
        await self._points.all_made()
        if unmade := self._points.dice.unmade():
            raise AssertionError(
                f"no fault was made at {', '.join(unmade)}; what began is {', '.join(sorted(self.begun)) or 'nothing'} "
                "(`lost` is of tools only); mend `at`, or have a run come there"
            )

    def _die(self) -> NoReturn:
        self.lost |= self.at_work
        for task in self.at_work:
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        raise asyncio.CancelledError


class _Mortal(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, deaths: Deaths) -> None:
        super().__init__(inner)
        self._deaths = deaths

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's name
        info, task = activity.info(), asyncio.current_task()
        self._deaths.begun.add(f"{info.workflow_id}/{info.activity_id}")
        self._deaths.at_work.add(task)
        try:
            return await super().execute_activity(input)
        finally:
            self._deaths.at_work.discard(task)
            if task in self._deaths.lost:
                self._deaths.lost.discard(task)
                raise _lost(activity.info()) from None


def _lost(info: activity.Info) -> ApplicationError:
    """What a run takes as it takes the seconds of silence after a real death, through which a test would have to sit:
    the test server skips no time while an activity is at work."""
    detail = {"attempts": info.attempt, "applied": "unknown"}
    message = f"{info.activity_type}: the worker that ran it was lost"
    return ApplicationError(message, detail, type=ToolFailed.type_name())
