"""Faults at activities: late beginnings, lost answers, and a worker that kills itself."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.faults.dice import Dice, is_meant
from activities.heartbeats import heartbeating
from contracts.errors import ToolFailed
from contracts.faults import Point

ENGINE_PREFIX = "surefoot."
KILLS: tuple[Point, ...] = ("before", "between", "after")
REPORTED_WITHIN = 5.0
"""Seconds in which the server has a completion; if it has not, the worker dies all the same."""

log = structlog.get_logger()


def kill_this_process() -> NoReturn:
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process survived its own SIGKILL")


class FaultPoints(Interceptor):
    """Gives every activity of a worker its fault points. `death`: how the worker dies."""

    def __init__(self, dice: Dice, death: Callable[[], NoReturn] = kill_this_process) -> None:
        self.dice = dice
        self.death = death
        self.dying: set[asyncio.Task[None]] = set()

    async def all_made(self) -> None:
        """Once every worker has died that had only to see its completion reported."""
        await asyncio.gather(*self.dying, return_exceptions=True)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - theirs
        return _Points(next, self)


class _Points(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, points: FaultPoints) -> None:
        super().__init__(inner)
        self._points = points
        self._dice = points.dice

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's name
        info = activity.info()
        place = f"{info.workflow_id}/{info.activity_id}"
        await self._be_late(place, info.attempt)
        killed_at = self._killed_at(place, info.attempt)
        if killed_at == "before" or self._is_due(place, "before"):
            self._die(place, "before")
        result = await super().execute_activity(input)
        if self._loses(place, info):
            self._tell("lost", place)
            # What a lost line looks like to whoever called: the effect may have happened.
            detail = {"attempts": info.attempt, "applied": "unknown"}
            raise ApplicationError(f"fault: the answer of {place} was lost", detail, type=ToolFailed.type_name())
        if killed_at == "between" or self._is_due(place, "between"):
            self._die(place, "between")
        if killed_at == "after" or self._is_due(place, "after"):
            self._points.dying.add(asyncio.create_task(self._die_once_reported(place, info, activity.client())))
        return result

    async def _be_late(self, place: str, attempt: int) -> None:
        faults = self._dice.faults
        if self._dice.throw("late", place, attempt) < faults.late:
            seconds = faults.longest.total_seconds() * self._dice.throw("how late", place, attempt)
            self._tell("late", place, seconds=round(seconds, 1))
            with heartbeating():
                await asyncio.sleep(seconds)

    def _killed_at(self, place: str, attempt: int) -> str | None:
        share = self._dice.faults.kill / len(KILLS)
        return self._dice.pick([(point, share) for point in KILLS], "kill", place, attempt)

    def _loses(self, place: str, info: activity.Info) -> bool:
        if info.activity_type.startswith(ENGINE_PREFIX):
            return False  # nothing of the engine's own has an effect that could be lost
        by_share = self._dice.throw("lost", place, info.attempt) < self._dice.faults.lost
        return by_share or self._is_due(place, "lost")

    def _is_due(self, place: str, point: Point) -> bool:
        """Whether a place of `at` is reached for the first time."""
        named = any(at == point and is_meant(where, place) for where, at in self._dice.faults.places())
        return named and not self._dice.is_noted(point, place)

    def _tell(self, fault: str, place: str, **more: Any) -> None:
        self._dice.note(fault, place)
        log.warning("fault on purpose", fault=fault, place=place, **more)

    def _die(self, place: str, point: Point) -> NoReturn:
        self._tell(point, place)
        self._points.death()

    async def _die_once_reported(self, place: str, info: activity.Info, client: Client) -> None:
        handle = client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        try:
            async with asyncio.timeout(REPORTED_WITHIN):
                while info.activity_id in {  # noqa: ASYNC110 -- the server tells nobody of it
                    pending.activity_id for pending in (await handle.describe()).raw_description.pending_activities
                }:
                    await asyncio.sleep(0.01)
        finally:
            self._die(place, "after")
