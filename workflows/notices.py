"""Telling people what a run wants of them: bounded work in the background, once for each event and channel."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.activities import NOTIFY
    from contracts.ballot import ApprovalState
    from contracts.base import Json
    from contracts.channels import notice_of
    from contracts.notices import Question, SendNotice
    from contracts.people import OPERATOR_ROLE
    from contracts.plain import short
    from contracts.record import Happening, TellingChannel, WriteRecord, bounded
    from contracts.run import RunRequest
    from workflows.calls import HEARTBEAT_TIMEOUT, summary
    from workflows.electorate import acting_deputies, candidates
    from workflows.engine import Engine
    from workflows.incidents import incidents
    from workflows.nodes import Node

TRIED_FOR = timedelta(days=1)
"""After the event. What is not delivered by then is a dead letter."""
PATIENCE = timedelta(minutes=1)
"""How long a run that ends waits for what is not delivered, before the last attempt."""
MAX_COMMENTS = 5
"""Of an approval, in one message: the last ones. Each may have 5,000 characters."""
MAX_UNDER_WAY = 200
"""Attempts at once by one channel, so that one that is down keeps no other from its own; and last ones by all. The
server fails a workflow task that would make it 2,000, with calls and all, for as long as a channel is down."""
_ATTEMPT = timedelta(minutes=2)
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=10), backoff_coefficient=3, maximum_interval=timedelta(hours=4))
"""10 s, 30 s, 90 s and so on: about ten attempts in a day, unless the receiver says when."""


class Notices:
    """`carried`: what was not delivered before the run continued as new. What is `_open` and has no handle waits for
    others of its channel to be delivered."""

    def __init__(self, engine: Engine, carried: Iterable[SendNotice]) -> None:
        self._engine = engine
        self._handles: defaultdict[str, dict[str, workflow.ActivityHandle[Any]]] = defaultdict(dict)
        self._open: dict[str, SendNotice] = {}
        self._last_ones = asyncio.Semaphore(MAX_UNDER_WAY)
        self._paused = False
        for notice in carried:
            self._start(notice)

    def carried_by(self, request: RunRequest) -> RunRequest:
        """The request of a run that goes on, with what is not delivered yet."""
        assert request.snapshot is not None  # noqa: S101 - the run has begun
        snapshot = request.snapshot.model_copy(update={"notices": tuple(self._open.values())})
        return request.model_copy(update={"snapshot": snapshot})

    def tell(self, batch: WriteRecord, channels: Iterable[TellingChannel]) -> None:
        """Begin to tell people of events that are written, by each channel of those it is for."""
        for channel in channels:
            for number in channel.events:
                if (notice := _notice(self._engine, batch, number, channel.name)) is not None:
                    self._start(notice)

    async def pause(self) -> None:
        """Begin no further attempt, and wait for those under way, which take seconds. What is not delivered then
        can be begun again elsewhere."""
        self._paused = True
        for under_way in self._handles.values():
            for handle in under_way.values():
                handle.cancel()
        await waiting.until(lambda: not any(self._handles.values()))

    def resume(self) -> None:
        self._paused = False
        for notice in tuple(self._open.values()):
            self._start(notice)

    async def end(self) -> None:
        """Wait a little for what is not delivered; then each has one last attempt, after which it is a dead letter."""
        await waiting.until(lambda: not self._engine.record.has_pending(notice_of))
        if not self._open:
            return
        try:
            await waiting.until(
                lambda: not self._open, within=PATIENCE, summary="notices: a little patience before the end"
            )
        except TimeoutError:
            await self.pause()
            await asyncio.gather(*(self._last(notice) for notice in tuple(self._open.values())))

    def _start(self, notice: SendNotice) -> None:
        self._open[_key(notice)] = notice
        is_full = len(self._handles[notice.channel]) >= MAX_UNDER_WAY
        if not self._paused and not (is_full and workflow.patched("notices-wait-for-room")):
            self._begin(notice)

    def _begin(self, notice: SendNotice) -> None:
        left = max(notice.at + TRIED_FOR - workflow.now(), _ATTEMPT)
        handle = self._attempt(notice, schedule_to_close_timeout=left, retry_policy=_RETRY)
        self._handles[notice.channel][_key(notice)] = handle
        self._engine.tasks.watch(asyncio.create_task(self._deliver(notice, handle)))

    async def _deliver(self, notice: SendNotice, handle: "workflow.ActivityHandle[Any]") -> None:
        try:
            await handle
            del self._open[_key(notice)]
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError) and error.cause.non_retryable:
                self._give_up(notice, error)
            elif not self._paused:  # Else it was kept from trying on, and goes on elsewhere.
                await self._last(notice)
        finally:
            del self._handles[notice.channel][_key(notice)]
        self._begin_next(notice.channel)

    def _begin_next(self, channel: str) -> None:
        under_way = self._handles[channel]
        waiting_too = (each for key, each in self._open.items() if each.channel == channel and key not in under_way)
        if not self._paused and (notice := next(waiting_too, None)) is not None:
            self._begin(notice)

    async def _last(self, notice: SendNotice) -> None:
        """One more attempt, by which whoever sends knows that it is a dead letter when it fails."""
        last = notice.model_copy(update={"last": True})
        try:
            async with self._last_ones:
                await self._attempt(
                    last, schedule_to_close_timeout=2 * _ATTEMPT, retry_policy=RetryPolicy(maximum_attempts=1)
                )
        except ActivityError as error:
            self._give_up(notice, error)
        else:
            del self._open[_key(notice)]

    def _attempt(self, notice: SendNotice, **options: Any) -> workflow.ActivityHandle[Any]:
        return workflow.start_activity(
            NOTIFY.name,
            notice,
            result_type=NOTIFY.result,
            start_to_close_timeout=_ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=summary(f"{notice.channel}: {notice.kind}, {notice.step}"),
            priority=Priority(priority_key=self._engine.request.priority),
            **options,
        )

    def _give_up(self, notice: SendNotice, error: ActivityError) -> None:
        del self._open[_key(notice)]
        why = str(error.cause or error)
        self._engine.record.add(
            "notice.undelivered", step=notice.step, reason=why, channel=notice.channel, event=notice.number
        )


def _notice(engine: Engine, batch: WriteRecord, number: int, channel: str) -> SendNotice | None:
    """What people are told of an event now, by a channel that is for it; None when there is nothing to tell."""
    event = batch.events[number - batch.after - 1]
    node = engine.plan.nodes.get(event.step or "")
    if node is None or (facts := _facts(engine, node, event)) is None:
        return None
    return SendNotice(
        channel=channel,
        run=batch.run,
        execution=batch.execution,
        process=batch.process,
        number=number,
        at=event.at,
        step=node.id,
        by=event.by,
        reason=event.reason,
        data=event.data,
        started_by=engine.request.started_by,
        **facts,
    )


def _facts(engine: Engine, node: Node, event: Happening) -> dict[str, Any] | None:
    """What kind of notice it is, to whom and about what; None for what nobody is told, or need not be any more."""
    kind, state = notice_of(event.kind), node.record.approval
    if kind == "step.attention" and node.id in engine.parked:
        (incident,) = incidents(engine, bounded, only=node.id)
        return {"kind": kind, "to": (OPERATOR_ROLE,), "title": incident.title, "incident": incident}
    if kind in (None, "step.attention") or state is None or not _is_current(state, event):
        return None
    to = tuple(dict.fromkeys(_concerned(engine, state, event)))
    if kind == "approval.reopened" and not to:
        return None
    return {"kind": kind, "to": to, "title": short(state.title), "question": _question(node, state)}


def _is_current(state: ApprovalState, event: Happening) -> bool:
    """Whether there is still something to tell: nobody is asked for what is decided."""
    if event.kind in ("approval.decided", "approval.expired"):
        return True
    opens_next = event.kind != "approval.approve" or state.stage > event.data.get("stage", state.stage)
    return state.outcome is None and opens_next


def _concerned(engine: Engine, state: ApprovalState, event: Happening) -> tuple[str, ...]:
    starter = (engine.request.started_by,) if engine.request.started_by else ()
    match event.kind:
        case "approval.decided":
            return starter
        case "approval.expired":
            return (*_users(state.asked_now), *starter)
        case "approval.escalated":
            return tuple(_brought_in(state))
        case "approval.delegate":
            return (event.data["to"],)
        case "approval.withdraw" | "approval.release":
            return _asked_again(state, event.data.get("asked", []))
        case _:
            return candidates(state, workflow.now())


def _asked_again(state: ApprovalState, asked: Json) -> tuple[str, ...]:
    """As far as their decision still counts. So many that the event does not name them are all whose decision does."""
    counting = candidates(state, workflow.now())
    return tuple(user for user in counting if user in asked) if isinstance(asked, list) else counting


def _brought_in(state: ApprovalState) -> Iterator[str]:
    """Whom escalation brought in, or who acts for them, as far as their decision counts."""
    more = set(_users(state.escalate_to))
    deputies = acting_deputies(state, workflow.now())
    for user in candidates(state, workflow.now()):
        if user in more or more.intersection(deputies.get(user, ())):
            yield user


def _users(names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(user for users in names.values() for user in users)


def _question(node: Node, state: ApprovalState) -> Question:
    return Question(
        show={name: bounded(value) for name, value in state.show.items()},
        edits=bounded(state.edits),
        hash=state.hash,
        who=tuple(state.asked_now),
        people=candidates(state, workflow.now()),
        votes=state.votes,
        comments=state.comments[-MAX_COMMENTS:],
        since=state.since,
        until=node.record.until,
    )


def _key(notice: SendNotice) -> str:
    return f"{notice.number}:{notice.channel}"
