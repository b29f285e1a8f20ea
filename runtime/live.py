"""A run followed live: what its steps, its agents and their tools do, as typed events.

Events come from what the server keeps anyway: the run's view, the agents' histories, and the heartbeats of model calls
that are under way. Nothing is written for a watcher, so a run costs the same whoever looks on; yet each one asks the
server a few times a second, so a program with many watchers of its own reads one stream and hands it on.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError

from contracts.live import LiveEvent, RunEnded, StepChanged
from contracts.run import SETTLED, StepStatus, StepView
from runtime.feed import Feed
from runtime.watch import Observation, Watch, is_agent, is_at_work, is_away


async def follow(client: Client, run: str, *, past: bool = False) -> AsyncGenerator[LiveEvent, None]:
    """The run's events from now until it has ended, after one for each step that has begun. `past`: what its agents did
    before too, as far as it is kept.

    Raises:
        UnknownRun: there is none of this name.
    """
    follower = Follower(client, run, past=past)
    async with aclosing(Watch(client, run).changes()) as changes:
        async for seen in changes:
            for event in await follower.events(seen):
                yield event


class Follower:
    """Turns one look at a run after another into what happened between them. `past`: and before the first one."""

    def __init__(self, client: Client, run: str, *, past: bool = False) -> None:
        self._client = client
        self._run = run
        self._statuses: dict[str, StepStatus] = {}
        self._feeds: dict[str, Feed] = {}
        self._comes_late = not past

    async def events(self, seen: Observation) -> list[LiveEvent]:
        """What happened since the last look; an agent's last words come before its step has ended. While the server is
        away nothing is told that a later look would not tell."""
        try:
            return await self._events(seen)
        except RPCError as error:
            if not is_away(error) or seen.ended:
                raise
            return []

    async def _events(self, seen: Observation) -> list[LiveEvent]:
        changed = [step for step in seen.view.steps if step.status != self._statuses.get(step.id, "pending")]
        begun = [self._step(step) for step in changed if step.status not in SETTLED]
        said = [event for step in seen.view.steps if is_agent(step) for event in await self._heard(step, seen)]
        settled = [self._step(step) for step in changed if step.status in SETTLED]
        self._statuses |= {step.id: step.status for step in changed}
        self._comes_late = False
        ended = [self._ended(seen)] if seen.ended else []
        return [*begun, *said, *settled, *ended]

    async def _heard(self, step: StepView, seen: Observation) -> list[LiveEvent]:
        """Of an agent at work, and for the last time of one whose step has changed since."""
        at_work, is_new = is_at_work(step), step.status != self._statuses.get(step.id, "pending")
        feed = self._feeds.get(step.id)
        before: list[LiveEvent] = []
        if feed is None or feed.workflow_id != step.child:
            if not (at_work or (is_new and not self._comes_late)):
                return []
            before = await feed.last() if feed else []
            feed = self._feeds[step.id] = Feed(
                self._client, self._run, step.id, step.child or "", late=self._comes_late
            )
        if at_work and not seen.ended:
            found = seen.children.get(step.id)
            return [*before, *(await feed.look(found) if found else [])]
        return [*before, *(await feed.last() if is_new or seen.ended else [])]

    def _step(self, step: StepView) -> LiveEvent:
        ended = step.ended if step.status in SETTLED else None
        return StepChanged(
            run=self._run,
            at=ended or step.started or _now(),
            step=step.id,
            kind=step.kind,
            title=step.title,
            status=step.status,
            error=step.error,
        )

    def _ended(self, seen: Observation) -> LiveEvent:
        view = seen.view
        return RunEnded(
            run=self._run, at=view.ended or _now(), status=view.status, output=view.output, error=view.error
        )


def _now() -> datetime:
    return datetime.now(UTC)
