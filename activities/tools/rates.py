"""Calls a minute: a call waits for its turn when it is near, and is told when to come back when it is not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from contracts.tools import ToolError

PATIENCE = 5.0
"""Seconds that a call waits in its activity; longer waits are the workflow's timers, which hold no slot of a worker."""


@dataclass
class Rates:
    """Turns are spread evenly, and each is given once, so no minute ever holds more calls than its rate."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _free: dict[str, float] = field(default_factory=dict)

    async def turn(self, name: str, per_minute: int) -> None:
        """Raises:
        ToolError: the turn is further off than a call can wait for; no turn was taken.
        """
        now = self.clock()
        free = max(now, self._free.get(name, now))
        if free - now > PATIENCE:
            wait = timedelta(seconds=free - now)
            raise ToolError(f"{name} may be called {per_minute} times a minute, and was", after=wait)
        self._free[name] = free + 60.0 / per_minute
        if free > now:
            await self.sleep(free - now)
