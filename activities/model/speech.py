"""What a model says while it says it, told to watchers through the activity's heartbeats: no part of any history."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio import activity

from activities.heartbeats import INTERVAL
from contracts.base import Contract
from contracts.live import Speech, WrittenCall

LIVE_SECONDS = 0.5
"""Between two tellings of one call, at the least."""

TOLD_A_SECOND = 50
"""By all calls of a worker together: with more of them speaking at once, each is told of less often."""

TEXT_TAIL = 2_000
ARGUMENTS_TAIL = 200
MAX_CALLS = 8

_speaking: set["Speaker"] = set()


class Speaker:
    """Hears one model call. `part` counts the models of a chain that began to answer."""

    def __init__(self, turn: int, attempt: int) -> None:
        self._turn = turn
        self._attempt = attempt
        self._part = -1
        self.begin("")

    def begin(self, model: str) -> None:
        """A model begins: what another said before is void."""
        self._part += 1
        self._model = model
        self._length = 0
        self._tail = ""
        self._calls: dict[int, WrittenCall] = {}
        self.fresh = False

    def say(self, text: str) -> None:
        if text:
            self._length += len(text)
            self._tail = (self._tail + text)[-TEXT_TAIL:]
            self.fresh = True

    def write(self, index: int, name: str, arguments: str) -> None:
        """A part of the tool call of this place in the message."""
        known = self._calls.get(index)
        if known is None and len(self._calls) == MAX_CALLS:
            return
        before = known or WrittenCall(tool=name, length=0, tail="")
        self._calls[index] = WrittenCall.model_construct(
            tool=before.tool or name,
            length=before.length + len(arguments),
            tail=(before.tail + arguments)[-ARGUMENTS_TAIL:],
        )
        self.fresh = True

    def told(self) -> Speech:
        self.fresh = False
        return Speech(
            turn=self._turn,
            attempt=self._attempt,
            part=self._part,
            model=self._model,
            length=self._length,
            tail=self._tail,
            calls=tuple(self._calls.values()),
        )


@contextmanager
def speaking(turn: int, *details: Contract) -> Iterator[Speaker]:
    """Heartbeats for as long as the block runs, with `details` and what is said in it; never for a quick one."""
    speaker = Speaker(turn, activity.info().attempt)

    async def beat() -> None:
        silent = 0.0
        while True:
            pause = max(LIVE_SECONDS, len(_speaking) / TOLD_A_SECOND)
            await asyncio.sleep(pause)
            silent += pause
            if speaker.fresh or silent >= INTERVAL:
                activity.heartbeat(*details, speaker.told())
                silent = 0.0

    task = asyncio.create_task(beat())
    _speaking.add(speaker)
    try:
        yield speaker
    finally:
        _speaking.discard(speaker)
        task.cancel()
