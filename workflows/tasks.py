"""The tasks of a run: what is at work, and what goes wrong in it unnoticed by whoever started it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Tasks that nobody awaits. What one of them fails with is kept until `check` raises it, so that the workflow task
    fails and is tried again."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._crash: BaseException | None = None

    @property
    def are_done(self) -> bool:
        return not self._running

    @property
    def has_crashed(self) -> bool:
        return self._crash is not None

    def start(self, work: Coroutine[Any, Any, None], interrupted: Callable[[], None]) -> asyncio.Task[None]:
        """Do this. `interrupted` is called when it is cancelled, also before it began."""
        has_begun = False

        async def watched() -> None:
            nonlocal has_begun
            has_begun = True
            try:
                await work
            except asyncio.CancelledError:
                interrupted()

        def ended(task: asyncio.Task[None]) -> None:
            if not has_begun:  # Cancelled in the moment in which it was created.
                work.close()
                interrupted()
            self._notice(task)

        task = asyncio.create_task(watched())
        self._running.add(task)
        task.add_done_callback(ended)
        return task

    def watch(self, task: asyncio.Task[None]) -> None:
        """Notice what goes wrong in a task that somebody else started."""
        task.add_done_callback(self._notice)

    def check(self) -> None:
        """Raises what went wrong."""
        if self._crash is not None:
            raise self._crash

    def _notice(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._crash = error
