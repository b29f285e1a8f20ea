"""Whether this machine's clock is that of the server. Runs go by the server's; what a worker signs and dates goes by
its own."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

BEARABLE = timedelta(minutes=1)
"""Receivers of signed messages bear five."""
SAID_EVERY = 600.0
"""Seconds."""

log = structlog.get_logger()


class Clock(Interceptor):
    """Says in the worker's log when its clock is off, at most every ten minutes."""

    def __init__(self) -> None:
        self._said: float | None = None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - theirs
        return _Compared(next, self)

    def compare(self, told: datetime) -> None:
        """`told`: the server's time of a moment ago."""
        off = datetime.now(UTC) - told
        is_due = self._said is None or time.monotonic() - self._said > SAID_EVERY
        if abs(off) > BEARABLE and is_due:
            self._said = time.monotonic()
            minutes, where = abs(off).total_seconds() / 60, "ahead of" if off > timedelta(0) else "behind"
            message = (
                f"this machine's clock is {minutes:.0f} minutes {where} the server's; runs are not harmed, but whoever "
                "checks messages that it signs refuses them; set the clock, such as by NTP"
            )
            log.warning(message)


class _Compared(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's name
        self._clock.compare(activity.info().started_time)
        return await super().execute_activity(input)
