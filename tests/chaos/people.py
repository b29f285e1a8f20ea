"""Everybody whom the sample processes ask: they decide, more than once, and remember what they were told."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Json
from contracts.events import PublishEvent
from contracts.incidents import Incident
from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE, VIEW_QUERY
from contracts.record import EventKind
from contracts.run import RunView, Waiting
from runtime.topics import Topics

Verdict = Literal["approve", "reject", "cancel", "regret"]
"""`regret`: they approve of all, and cancel the run when all of it is done."""
STAYS = "stays"
"""The last step of a run that is regretted, at which somebody is asked whether what was done is to stay."""

PATIENCE = timedelta(seconds=15)
"""For one answer; who got none asks again, with the same id."""
GLIMPSE = timedelta(seconds=3)
"""For a look at a run, of which a lost worker may be asked first."""
GLANCE = 0.8
"""Seconds between two looks at a run."""
TRIES = 3
"""Of an operator, before the run is aborted."""
AT_ONCE = 3
"""How often each decision is sent at the same time."""
REVIEWED = frozenset({"checks"})
"""Goals whose plans nobody rejects, so that they have done what is to be undone when what comes later is rejected."""
GONE = (RPCError, WorkflowQueryFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError)


class Said(NamedTuple):
    """What somebody had done. `kind`: of the event that the run's record has of it. What has an `id` is the same thing
    however often it is said."""

    run: str
    kind: EventKind
    step: str | None
    by: str
    id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.step or ''} by {self.by} in {self.run}"


@dataclass
class People:
    """`outcome`: what came of a call by its key, or None when it had no effect, as whoever looks at the business sees.
    `verdicts`: by run; what is not named is approved. `said`: how often; `acknowledged`: how often of these it was
    answered that it is done. `seen`: all runs there were, `ended`: how they ended. `broken`: promises that were not
    kept, in words."""

    client: Client
    outcome: Callable[[str], Json]
    verdicts: Mapping[str, Verdict]
    hurried: bool = False
    kill: Any = None
    said: Counter[Said] = field(default_factory=Counter)
    acknowledged: Counter[Said] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    ended: dict[str, RunView] = field(default_factory=dict)
    tries: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def attend(self, started: list[str]) -> None:
        """Until these runs, and those that came of them, have ended, or a promise is broken."""
        self.seen = set()
        async with asyncio.TaskGroup() as tasks:
            # A run that ended may have started others a moment ago.
            while not self.broken:
                found = await self._found()
                fresh = {*started, *(found or ())} - self.seen
                if found is not None and not fresh and self.seen <= self.ended.keys():
                    break
                for run in fresh:
                    tasks.create_task(self._accompany(run))
                self.seen |= fresh
                await asyncio.sleep(GLANCE)

    async def _accompany(self, run: str) -> None:
        while run not in self.ended and not self.broken:
            await self._attend(run)
            await asyncio.sleep(GLANCE)

    async def _found(self) -> list[str] | None:
        """None when nobody tells, which is not that there are none."""
        try:
            query = f"WorkflowType = '{PROCESS_WORKFLOW}'"
            return [found.id async for found in self.client.list_workflows(query, rpc_timeout=PATIENCE)]
        except GONE:
            return None

    async def _attend(self, run: str) -> None:
        handle = self.client.get_workflow_handle(run)
        with contextlib.suppress(*GONE):
            view = await self._view(handle)
            if view.ended is not None:
                described = await handle.describe(rpc_timeout=PATIENCE)
                if described.status is not WorkflowExecutionStatus.RUNNING:  # else its record's end is being written
                    self.ended[run] = view
                return
            for waiting in view.waiting:
                await self._answer(handle, waiting)
            for incident in view.incidents:
                self.tries[run, incident.step] += 1
                repair = {"step": incident.step, "by": "user:tom", "reason": "as ever", **self._mended(run, incident)}
                said = Said(run, "step.repaired", incident.step, "user:tom")
                await self._say(handle, REPAIR, repair, said)

    def _mended(self, run: str, incident: Incident) -> dict[str, Any]:
        """Action and value. Of a run that takes all back it may be asked whether a step happened, and nothing else."""
        possible = {choice.action for choice in incident.actions}
        if "abort" in possible and self.tries[run, incident.step] > TRIES:
            return {"action": "abort"}
        if "retry" in possible:
            return {"action": "retry"}
        happened = self.outcome(f"{run}/{incident.step}")
        return {"action": "skip"} if happened is None else {"action": "complete", "value": happened}

    async def _view(self, handle: WorkflowHandle[Any, Any]) -> RunView:
        view: RunView = await handle.query(VIEW_QUERY, result_type=RunView, rpc_timeout=GLIMPSE)
        return view

    async def look(self, run: str) -> str:
        """Where a run stands, in words."""
        try:
            view = await self._view(self.client.get_workflow_handle(run))
        except GONE as error:
            return f"it cannot be looked at: {error}"
        return f"{view.status}, waits at {[each.step for each in view.waiting]}, incidents {view.incidents}"

    async def _answer(self, handle: WorkflowHandle[Any, Any], waiting: Waiting) -> None:
        verdict = self.verdicts.get(handle.id, "approve")
        if (
            verdict == "cancel"
            or waiting.step == STAYS
            or (waiting.step == "arrived" and self._is_never_bought(handle.id))
        ):
            said = Said(handle.id, "run.ending", None, "user:hanna")
            await self._say(handle, CANCEL, {"by": "user:hanna", "reason": "not wanted any more"}, said)
        elif waiting.kind == "event":
            if waiting.step == "delivery":
                await self._deliver(handle.id)
        elif waiting.people:
            is_rejected = verdict == "reject" and waiting.step not in REVIEWED
            await self._decide(handle, waiting, waiting.people[0], "reject" if is_rejected else "approve")

    async def _decide(
        self, handle: WorkflowHandle[Any, Any], waiting: Waiting, by: str, verdict: Literal["approve", "reject"]
    ) -> None:
        # The hash is of what is decided on, so that a changed plan is a new decision.
        identity = f"{waiting.step}-{by}-{(waiting.hash or '')[:12]}"
        decision = {"step": waiting.step, "decision": verdict, "by": by, "id": identity, "comment": "as seen"}
        kind: EventKind = "approval.approve" if verdict == "approve" else "approval.reject"
        said = Said(handle.id, kind, waiting.step, by, identity)
        sent = asyncio.gather(*(self._say(handle, DECIDE, decision, said) for _ in range(AT_ONCE)))
        if self.hurried and self.kill is not None:
            self.hurried = False
            await asyncio.sleep(0.02)
            self.kill()
        if not any(await sent):
            return
        view = await self._view(handle)
        still = next((each for each in view.waiting if each.step == waiting.step and each.hash == waiting.hash), None)
        votes = 1 if still is None else sum(vote.by == by for vote in still.votes)
        if votes != 1:
            self.broken.append(f"{handle.id}: {by} was told that {waiting.step} is decided; counted {votes} times")

    async def _say(self, handle: WorkflowHandle[Any, Any], update: str, payload: dict[str, Any], said: Said) -> bool:
        """Whether it was taken. Who is refused has lost nothing."""
        self.said[said] += 1
        try:
            await handle.execute_update(update, payload, rpc_timeout=PATIENCE)
        except WorkflowUpdateFailedError:
            return False
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        self.acknowledged[said] += 1
        return True

    def _is_never_bought(self, order: str) -> bool:
        watch = self.ended.get(f"stock-watch-{order}/short")
        return watch is not None and watch.status != "completed"

    async def _deliver(self, run: str) -> None:
        """What the dock scans of a purchase, which is known by what the buyer was told."""
        view = await self._view(self.client.get_workflow_handle(run))
        bought = next(step.output for step in view.steps if step.id == "buy")
        data = {"purchase": bought["id"], "quantity": bought["quantity"]}
        event = PublishEvent(id=f"scan-{bought['id']}", topic="dock.delivery", data=data)
        await Topics(self.client, TASK_QUEUE).publish(event)


async def within(seconds: float, work: Awaitable[None]) -> bool:
    """Whether it came to its end in that time."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
