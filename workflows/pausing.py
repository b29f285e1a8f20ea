"""A run that is paused: no step starts until it is resumed, while what is at work goes on to its end."""

import asyncio

from contracts.incidents import Paused
from workflows.nodes import Node


class Pausing:
    """A run that people can pause. Timers run on, and approvals can be decided; what comes of them waits."""

    def __init__(self, paused: Paused | None) -> None:
        self.paused = paused
        self._resumed = asyncio.Event()
        if paused is None:
            self._resumed.set()

    def pause(self, paused: Paused) -> None:
        self.paused = paused
        self._resumed.clear()

    def resume(self) -> None:
        self.paused = None
        self._resumed.set()

    def is_held(self, node: Node) -> bool:
        """Whether the node may not act now. What was at work before goes on, also after a continue-as-new."""
        return self.paused is not None and node.record.status != "running"

    async def let_start(self, node: Node) -> None:
        """Until the node may start."""
        while self.is_held(node):
            await self._resumed.wait()
