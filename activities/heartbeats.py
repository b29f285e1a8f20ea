"""Signs of life while an activity works, so that a lost worker is noticed in seconds and not at the call's timeout."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from temporalio import activity

INTERVAL = 3.0
"""Seconds before the first sign, and between two. Workflows take 10 seconds of silence for a lost worker."""


@contextmanager
def heartbeating(details: Callable[[], Sequence[Any]] = tuple) -> Iterator[None]:
    """Heartbeat in the background, with the current `details`, for as long as the block runs; never for a quick one."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            activity.heartbeat(*details())

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
