"""Runs a plan on a real worker and server, one event at a time, and notes what happened."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkflowRunner
from uuid_utils import uuid7

from activities.records.writing import write_record_activity
from activities.tools.runner import tool_activities
from contracts.activities import RESOLVE_PEOPLE
from contracts.names import CANCEL, PROCESS_WORKFLOW, REPAIR, VIEW_QUERY
from contracts.people import ANYONE, People, ResolvePeople
from contracts.run import RunRequest, RunResult, RunView
from contracts.tools import Tool, ToolContext, ToolError, tool
from language.load import load_process
from runtime.sandbox import patient, workflow_runner
from tests.properties import nodes
from tests.properties.plans import ACTIONS, INPUT, Plan
from tests.records import shared_records
from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow

AT_ONCE = 24
"""Plans under way at the same time."""

ENOUGH_SECONDS = 180.0
"""For one plan. Only a run that neither ends nor rests is ever stopped by it."""

Token = tuple[str, str]
"""`do` or `undo`, and the step that a call is for."""


@dataclass(frozen=True)
class Event:
    """What happened to a run: a call `ended`, an incident was `repaired`, the run was `cancelled`, or is at `rest`."""

    kind: str
    step: str = ""
    action: str = ""
    value: Any = None
    calls: frozenset[Token] = frozenset()
    parked: frozenset[str] | None = None


@dataclass
class Performance:
    """One run. `ledger`: (`start` or `end`, call, idempotency key), in order."""

    plan: Plan
    ledger: list[tuple[str, Token, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    stuck: bool = False
    view: RunView | None = None
    _held: dict[Token, "asyncio.Future[None]"] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: dict[int, Token] = field(default_factory=dict)
    _timers: set[int] = field(default_factory=set)
    _deciding: bool = True
    _closed: bool = False
    _own: set[int] = field(default_factory=set)
    """Calls of the engine's own activities: who is an operator, what is written down."""
    _scheduled: int = 0
    _said: int = 0
    _answered: int = 0
    _chosen: int = 0

    @property
    def is_free(self) -> bool:
        return self.plan.choices is None

    async def call(self, token: Token, key: str) -> None:
        """A tool is called; it goes on when it is let."""
        self.ledger.append(("start", token, key))
        if not self.is_free:
            self._held[token] = asyncio.get_running_loop().create_future()
            self._changed.set()
            await self._held[token]
        self.ledger.append(("end", token, key))

    # What Temporal says

    async def follow(self, handle: WorkflowHandle[Any, Any]) -> None:
        pages = handle.fetch_history_events(wait_new_event=True)
        while not self._closed:
            try:
                await pages.fetch_next_page()
            except RPCError:  # A long poll that a busy server gave up; what is asked for next is the same page.
                continue  # None of what came before comes twice.
            for event in pages.current_page or ():
                self._note(event)
            self._changed.set()

    def _note(self, event: HistoryEvent) -> None:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
                self._deciding = True
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                self._deciding = False
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                self._is_called(event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                self._ended(event.activity_task_completed_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                self._ended(event.activity_task_failed_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_TIMER_STARTED:
                self._timers.add(event.event_id)
            case EventType.EVENT_TYPE_TIMER_FIRED:
                self._timers.discard(event.timer_fired_event_attributes.started_event_id)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                self._was_told(event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED | EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                self._closed = True
            case _:
                pass

    def _is_called(self, event: HistoryEvent) -> None:
        scheduled = event.activity_task_scheduled_event_attributes
        if not scheduled.activity_type.name.startswith("do."):
            self._own.add(event.event_id)
            return
        kind = scheduled.activity_type.name.removeprefix("do.").replace("work", "do")
        self._scheduled += 1
        self._under_way[event.event_id] = (kind, json.loads(scheduled.input.payloads[0].data)["step"])

    def _ended(self, scheduled: int) -> None:
        if scheduled in self._own:
            self._own.discard(scheduled)
            return
        kind, step = self._under_way.pop(scheduled)
        self.events.append(Event("ended" if kind == "do" else "undone", step))

    def _was_told(self, event: HistoryEvent) -> None:
        said = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        payload = json.loads(said.args.payloads[0].data)
        if said.name == CANCEL:
            self.events.append(Event("cancelled", value=payload["undo"]))
        else:
            self.events.append(Event("repaired", payload["step"], payload["action"], payload.get("value")))
        self._said += 1

    # What happens next

    async def direct(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Whenever the run is at rest, let one thing happen; when nothing can, it is stuck."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._closed:
                return
            if self._deciding or self._timers or self._own or not self._is_known():
                continue
            if not await self._choose(handle):
                self.stuck = True
                return

    def _is_known(self) -> bool:
        """Whether what Temporal said last is what the tools see now."""
        begun = sum(phase == "start" for phase, _, _ in self.ledger)
        return begun == self._scheduled and sorted(self._under_way.values()) == sorted(self._held)

    async def _choose(self, handle: WorkflowHandle[Any, Any]) -> bool:
        may_park = self.plan.may_park or not self._held
        incidents = await _incidents(handle) if may_park else {}
        parked = frozenset(incidents) if may_park else None
        self.events.append(Event("rest", calls=frozenset(self._held), parked=parked))
        if self.plan.cancel is not None and self._chosen == self.plan.cancel[0]:
            self._chosen += 1
            if await self._say(handle, CANCEL, {"by": "user:op", "undo": self.plan.cancel[1]}):
                return True
        choices = [*sorted(self._held), *(("", step) for step in sorted(incidents))]
        if not choices:
            return False
        order = self.plan.choices or (0,)
        kind, step = choices[order[self._chosen % len(order)] % len(choices)]
        self._chosen += 1
        if kind:
            self._held.pop((kind, step)).set_result(None)
        else:
            await self._answer(handle, step, incidents[step])
        return True

    async def _answer(self, handle: WorkflowHandle[Any, Any], step: str, actions: tuple[str, ...]) -> None:
        given = self.plan.answers[self._answered] if self._answered < len(self.plan.answers) else "skip"
        self._answered += 1
        action = given.removesuffix("-without-undo")
        repair = {"step": step, "by": "user:op", "action": action, "value": ACTIONS[given]}
        is_call = "[" in step or "#" in step or ("for_each" not in str(self.plan) and "repeat" not in str(self.plan))
        if action not in actions or (action == "amend" and not is_call) or not await self._say(handle, REPAIR, repair):
            await self._say(handle, REPAIR, {"step": step, "by": "user:op", "action": "skip"})

    async def _say(self, handle: WorkflowHandle[Any, Any], update: str, payload: dict[str, Any]) -> bool:
        """False when it was refused. Otherwise once the history has it, so that what is known of the run is current."""
        before = self._said
        with suppress(WorkflowUpdateFailedError):
            await handle.execute_update(update, payload)
            while self._said == before:
                await self._changed.wait()
                self._changed.clear()
            self._changed.set()
            return True
        return False


@dataclass
class Rig:
    """A worker with the one tool of these plans."""

    client: Client
    queue: str
    performances: dict[str, Performance] = field(default_factory=dict)
    under_way: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @cached_property
    def tools(self) -> list[Tool[..., Any]]:
        @tool(name="do.work", effect="write", idempotent=True)
        async def work(
            ctx: ToolContext, what: Any = None, many: list[Any] | None = None, fails: bool = False, fails_at: int = 0
        ) -> Any:
            """Do as told."""
            await self.performances[ctx.run].call(("do", ctx.step), ctx.idempotency_key)
            try:
                return nodes.work(ctx.step, {"what": what, "many": many or [], "fails": fails, "fails_at": fails_at})
            except nodes.Failed as error:
                raise ToolError(str(error), retry=False) from error

        @tool(name="do.undo", effect="write", idempotent=True)
        async def undo(ctx: ToolContext, of: str) -> None:
            """Take it back."""
            await self.performances[ctx.run].call(("undo", ctx.step), ctx.idempotency_key)

        return [work, undo]

    async def perform(self, plan: Plan) -> Performance:
        """Run a plan to its end, or to where nothing can happen any more."""
        specs = {made.spec.name: made.spec for made in self.tools}
        definition = load_process(str(plan), "plan.yaml", tools=specs)
        done = Performance(plan)
        run = f"plan-{uuid7()}"
        self.performances[run] = done
        async with self.under_way:
            handle = await self.client.start_workflow(
                PROCESS_WORKFLOW,
                RunRequest(process="plan", input=INPUT, definition=definition),
                id=run,
                task_queue=self.queue,
                result_type=RunResult,
            )
            try:
                async with asyncio.timeout(ENOUGH_SECONDS):
                    await self._to_the_end(handle, done)
            except TimeoutError:
                done.stuck = True
            if done.stuck:
                await handle.terminate("it is stuck")
        return done

    async def _to_the_end(self, handle: WorkflowHandle[Any, Any], done: Performance) -> None:
        following = asyncio.create_task(done.follow(handle))
        try:
            await done.direct(handle)
        finally:
            following.cancel()
        done.view = await _view(handle)
        if not done.stuck:
            with suppress(WorkflowFailureError):
                await handle.result()


async def _view(handle: WorkflowHandle[Any, Any]) -> RunView:
    seen: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
    return seen


async def _incidents(handle: WorkflowHandle[Any, Any]) -> dict[str, tuple[str, ...]]:
    incidents = (await _view(handle)).incidents
    return {incident.step: tuple(choice.action for choice in incident.actions) for incident in incidents}


@activity.defn(name=RESOLVE_PEOPLE.name)
async def anyone(request: ResolvePeople) -> People:
    """Whoever repairs may."""
    return People(users=dict.fromkeys(request.names, (ANYONE,)))


@asynccontextmanager
async def open_rig(client: Client, runner: WorkflowRunner | None = None) -> AsyncIterator[Rig]:
    rig = Rig(client, queue=f"plans-{uuid7()}")
    log = logging.getLogger("temporalio.activity")  # which has a page for each call that fails as told
    log.disabled = True
    worker = Worker(
        client,
        task_queue=rig.queue,
        workflows=[ProcessWorkflow, AgentWorkflow],
        activities=[*tool_activities(rig.tools), anyone, write_record_activity(shared_records())],
        workflow_runner=runner or workflow_runner(),
        max_concurrent_activities=1000,
    )
    async with patient(worker):
        yield rig
    log.disabled = False
