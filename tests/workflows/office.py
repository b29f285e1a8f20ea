"""A tiny business for engine tests: real tools with a ledger, a real worker on a real server, processes from YAML."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.adapters.call import LoadAgent, no_foreign_agents
from activities.conversations import ConversationStore, SqliteConversations
from activities.events import event_activities
from activities.model.call import ModelCall
from activities.notices.sending import Notifier
from activities.notices.telling import notify_activity
from activities.plans import check_plan_activity
from activities.processes import await_process_activity, load_process_activity, load_run_activity
from activities.records.store import Records
from activities.records.writing import write_record_activity
from activities.retries import retry_now_activity
from activities.tools.results import keep_result_activity
from activities.tools.runner import tool_activities
from activities.tools.state import RunState
from contracts.activities import RESOLVE_PEOPLE
from contracts.channels import Channel
from contracts.decisions import Receipt
from contracts.names import CANCEL, DECIDE, PREVIEW_QUERY, PROCESS_WORKFLOW, REPAIR, VIEW_QUERY
from contracts.people import Deputy, People, ResolvePeople
from contracts.record import RunEvent
from contracts.run import Definition, RunRequest, RunResult, RunView
from contracts.settings import ModelAlias
from contracts.state import state_tools
from contracts.tools import Tool, ToolContext, ToolError, process_tool, tool
from language.load import load_process
from runtime.sandbox import patient, workflow_runner
from runtime.topics import Topics
from runtime.watch import ask
from tests.looks import pauses
from tests.records import shared_records
from workflows.registered import WORKFLOWS

UNDO = "undo: {tool: do.undo, with: {of: '${ output.id }'}}"
"""What most steps of these tests carry."""

NO_WORKER_YET = (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
"""What a query ends with that was kept for a worker which has gone."""

GIVEN_UP = "unexpected workflow task failure"
"""What the server says of an update whose workflow task it failed; it does not say whether the update counts."""

GROUPS = {"group:finance": ("user:alice", "user:bob"), "group:controllers": ("user:carol",)}


@dataclass
class Office:
    """`ledger`: every call that took effect, in order; `keys`: theirs. `gates`: what a `held` call waits for."""

    client: Client
    queue: str
    ledger: list[tuple[str, str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    calls: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    gates: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    started: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    broken: set[str] = field(default_factory=set)
    happened: dict[str, str] = field(default_factory=dict)
    children: dict[str, Definition] = field(default_factory=dict)
    load: Callable[[str], Definition] | None = None
    records: Records = field(default_factory=shared_records)
    operators: tuple[str, ...] = ("anyone",)
    unreadable: bool = False
    away: int = 0
    deputies: dict[str, tuple[Deputy, ...]] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    more: Callable[["Office"], list[Tool[..., Any]]] = lambda office: []

    @property
    def topics(self) -> Topics:
        return Topics(self.client, self.queue)

    @cached_property
    def tools(self) -> list[Tool[..., Any]]:  # noqa: C901 -- one function for each tool
        @tool(name="do.work", effect="write", idempotent=True)
        async def work(ctx: ToolContext, what: str = "", fails: bool = False) -> dict[str, str]:
            """Leave a line in the ledger."""
            self.calls[ctx.step] += 1
            if fails or ctx.step in self.broken:
                raise ToolError(f"{ctx.step} is broken", retry=False)
            self.ledger.append(("do", ctx.step, what))
            self.keys.append(ctx.idempotency_key)
            return {"id": ctx.step, "what": what, "key": ctx.idempotency_key}

        @tool(name="do.undo", effect="write", idempotent=True)
        async def undo(ctx: ToolContext, of: str) -> None:
            """Take a line back."""
            if f"undo {ctx.step}" in self.broken:
                raise ToolError("cannot be undone now", retry=False)
            self.ledger.append(("undo", ctx.step, of))
            self.keys.append(ctx.idempotency_key)

        @tool(name="do.held", effect="write", idempotent=True)
        async def held(ctx: ToolContext) -> dict[str, str]:
            """Work that lasts until the test lets it go."""
            self.started[ctx.step].set()
            await self.gates[ctx.step].wait()
            self.ledger.append(("do", ctx.step, "held"))
            return {"id": ctx.step}

        @tool(name="do.watch", effect="read")
        async def watch(ctx: ToolContext) -> None:
            """Look on until told to stop."""
            self.started[ctx.step].set()
            await self.gates[ctx.step].wait()

        @tool(name="do.look", effect="read")
        async def look(ctx: ToolContext, fail_times: int = 0) -> int:
            """Fail a few times, then say which attempt it is."""
            if ctx.attempt <= fail_times or ctx.step in self.broken:
                raise ConnectionError("no line")
            return ctx.attempt

        @tool(name="do.fetch", effect="read")
        async def fetch(page: int, size: int = 2_000) -> str:
            """A page of a report, of this many characters."""
            return f"page {page} ".ljust(size, "x")

        @tool(name="pay.happened", effect="read")
        async def happened(ctx: ToolContext, amount: int) -> str | None:
            """The payment's id if it was made."""
            return self.happened.get(ctx.idempotency_key)

        @tool(name="pay.checked", effect="write", check=happened)
        async def checked(ctx: ToolContext, amount: int) -> str:
            """Pay; loses its line after paying, the first time, when the step says so."""
            self.calls[ctx.step] += 1
            if amount > 0 or self.calls[ctx.step] > 1:
                self.happened[ctx.idempotency_key] = f"paid-{self.calls[ctx.step]}"
                self.ledger.append(("pay", ctx.step, amount))
            if self.calls[ctx.step] == 1:
                raise ConnectionError("line lost")
            return self.happened[ctx.idempotency_key]

        @tool(name="pay.once", effect="write")
        async def once(ctx: ToolContext) -> str:
            """Pay, once more each time."""
            self.calls[ctx.step] += 1
            self.ledger.append(("pay", ctx.step, self.calls[ctx.step]))
            self.keys.append(ctx.idempotency_key)
            return f"paid {self.calls[ctx.step]}"

        @tool(name="pay.blind", effect="write")
        async def blind(ctx: ToolContext, amount: int) -> str:
            """Pay with no way to find out whether it happened."""
            self.calls[ctx.step] += 1
            raise ConnectionError("line lost")

        return [work, undo, held, watch, look, fetch, happened, checked, once, blind, *self.more(self)]

    def definition(self, text: str) -> Definition:
        specs = {made.spec.name: made.spec for made in self.tools}
        for name, child in self.children.items():
            made = process_tool(name, child.process.description, child.process.input)
            specs[made.name] = made
        return load_process(dedent(text), "test.yaml", tools=specs, processes=self.children)

    def child(self, name: str) -> Definition:
        return self.load(name) if self.load else self.children[name]

    def run_of(self, run: str) -> "Run":
        return Run(self, self.client.get_workflow_handle(run, result_type=RunResult))

    async def start(
        self, text: str | Definition, data: Any = None, *, run: str | None = None, started_by: str | None = None
    ) -> "Run":
        definition = self.definition(text) if isinstance(text, str) else text
        handle = await self.client.start_workflow(
            PROCESS_WORKFLOW,
            RunRequest(
                process=definition.process.process, input=data or {}, definition=definition, started_by=started_by
            ),
            id=run or f"{definition.process.process}-{uuid7()}",
            task_queue=self.queue,
            result_type=RunResult,
        )
        return Run(self, handle)


@dataclass
class Run:
    office: Office
    handle: WorkflowHandle[Any, RunResult]

    @property
    def id(self) -> str:
        return self.handle.id

    async def view(self, *page: dict[str, Any]) -> RunView:
        """However long its worker takes to answer."""
        while True:
            try:
                seen: RunView = await ask(self.handle, VIEW_QUERY, RunView, *page)
            except RPCError as error:
                if error.status not in NO_WORKER_YET:
                    raise
            else:
                return seen

    async def failed_tasks(self) -> int:
        """How many of its workflow tasks failed."""
        kinds = [event.event_type async for event in self.handle.fetch_history_events()]
        return kinds.count(EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)

    async def until(self, holds: Callable[[RunView], bool]) -> RunView:
        """The first view of which this holds, within a minute."""
        async with asyncio.timeout(60):
            pause = pauses(0.02, 0.1)
            while True:
                try:
                    if holds(seen := await self.view()):
                        return seen
                except WorkflowQueryFailedError:
                    pass  # it still loads its process, or the run that it goes on with
                await asyncio.sleep(next(pause))

    async def status_of(self, step: str) -> str:
        return next(found.status for found in (await self.view()).steps if found.id == step)

    async def waiting(self, step: str) -> RunView:
        return await self.until(lambda view: any(wait.step == step for wait in view.waiting))

    async def parked(self, *steps: str) -> RunView:
        return await self.until(lambda view: {incident.step for incident in view.incidents} >= set(steps))

    async def decide(self, step: str, decision: str, by: str, **more: Any) -> Receipt:
        return await self._say(DECIDE, {"step": step, "decision": decision, "by": by, **more})

    async def refused(self, step: str, decision: str, by: str, **more: Any) -> str:
        """Why a decision is refused."""
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await self.decide(step, decision, by, **more)
        return str(caught.value.cause)

    async def events(self, *kinds: str) -> list[RunEvent]:
        """The record of a run that has ended, of these kinds."""
        stored = await self.office.records.read(self.id)
        events = [RunEvent.model_validate_json(each.text) for each in stored]
        return [event for event in events if event.kind.startswith(kinds)]

    async def repair(self, step: str, action: str, **more: Any) -> Receipt:
        return await self._say(REPAIR, {"step": step, "action": action, "by": "user:op", **more})

    async def unrepaired(self, step: str, action: str, **more: Any) -> str:
        """Why a repair is refused."""
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await self.repair(step, action, **more)
        return str(caught.value.cause)

    async def preview(self, step: str, action: str, **more: Any) -> Receipt:
        said = {"step": step, "action": action, "by": "user:op", **more}
        receipt: Receipt = await self.handle.query(PREVIEW_QUERY, said, result_type=Receipt)
        return receipt

    async def cancel(self, **more: Any) -> Receipt:
        return await self._say(CANCEL, {"by": "user:op", **more})

    async def again(self, *, number: int = 2, by: str = "user:op", data: Any = None, **more: Any) -> "Run":
        """The run that goes on with this one, which ended, as the Temporal CLI would start it."""
        payload = {"process": "any", "input": data, "rerun": {"of": self.id, "by": by, **more}}
        handle = await self.office.client.start_workflow(
            PROCESS_WORKFLOW,
            payload,
            id=f"{self.id.partition('~')[0]}~{number}",
            task_queue=self.office.queue,
            result_type=RunResult,
        )
        return Run(self.office, handle)

    async def failed(self) -> str:
        """Why it failed."""
        with pytest.raises(WorkflowFailureError) as failed:
            await self.handle.result()
        return str(failed.value.cause)

    async def _say(self, update: str, payload: dict[str, Any]) -> Receipt:
        """Said again under the same id, as `runtime.deciding` does, when the server gave it up for a run that was about
        to continue as new and could not."""
        said = str(uuid7())
        async with asyncio.timeout(60):
            while True:
                try:
                    receipt: Receipt = await self.handle.execute_update(update, payload, id=said, result_type=Receipt)
                except RPCError as error:
                    if GIVEN_UP not in error.message:
                        raise
                else:
                    return receipt


@asynccontextmanager
async def open_office(
    client: Client,
    *,
    home: Path | None = None,
    models: Mapping[str, ModelAlias] | None = None,
    foreign: LoadAgent = no_foreign_agents,
    conversations: ConversationStore | None = None,
    queue: str | None = None,
    records: Records | None = None,
    channels: Sequence[Channel] = (),
    notifier: Notifier | None = None,
    more: Callable[[Office], list[Tool[..., Any]]] = lambda office: [],
    **worker: Any,
) -> AsyncIterator[Office]:
    """`home` or a store, and `models`: where conversations lie and which endpoint answers, for those with agents.
    `records`: where the runs' records lie, when not where those of other tests do. `channels`, `notifier`: by which
    people are told. `more`: tools besides the office's own."""
    office = Office(client, queue=queue or f"test-{uuid7()}", records=records or shared_records(), more=more)

    @activity.defn(name=RESOLVE_PEOPLE.name)
    async def resolve(request: ResolvePeople) -> People:
        if activity.info().attempt <= office.away:
            raise ApplicationError("people.yaml is on a share that is away", type="DirectoryUnavailable")
        if office.unreadable:
            raise ApplicationError("people.yaml cannot be read", type="SettingsInvalid", non_retryable=True)
        if unknown := sorted(office.strangers & set(request.names)):
            raise ApplicationError(f"there is no {', '.join(unknown)}", type="UnknownPerson", non_retryable=True)
        known = {**GROUPS, **office.groups, "role:operator": office.operators}
        return People(users={name: known.get(name, (name,)) for name in request.names}, deputies=office.deputies)

    activities: list[Callable[..., Any]] = [
        resolve,
        load_process_activity(office.child),
        await_process_activity(client),
        load_run_activity(client),
        check_plan_activity(),
        write_record_activity(office.records, channels),
        *([notify_activity(notifier)] if notifier else []),
        retry_now_activity(client),
        *event_activities(office.topics),
    ]
    async with AsyncExitStack() as stack:
        store = conversations
        if home is not None:
            store = opened = SqliteConversations(home / "conversations.db")
            stack.push_async_callback(opened.close)
        if store is not None:
            call = ModelCall(store, lambda process: None, models or {}, environment={}, foreign=foreign)
            stack.push_async_callback(call.close)
            activities += [call.activity(), keep_result_activity(store)]
        activities += tool_activities([*office.tools, *state_tools(RunState(client))], conversations=store)
        await stack.enter_async_context(
            patient(
                Worker(
                    client,
                    task_queue=office.queue,
                    activities=activities,
                    workflow_runner=workflow_runner(),
                    **{"workflows": WORKFLOWS, **worker},
                )
            )
        )
        yield office


async def stuck_in_undo(office: Office) -> Run:
    """A run that was cancelled, of whose steps `b` cannot be taken back, and `a` waits for that."""
    office.broken.add("undo b")
    run = await office.start(f"""
        process: stuck-in-undo
        steps:
          a: {{tool: do.work, {UNDO}}}
          b: {{tool: do.work, needs: [a], {UNDO}}}
          w: {{wait: 1d, needs: [b]}}
    """)
    await run.waiting("w")
    await run.cancel()
    await run.parked("b")
    return run


async def has_dealt_with(handle: WorkflowHandle[Any, Any], event_type: "EventType.ValueType") -> None:
    """Wait until a workflow has had a task after an event of this type."""
    async with asyncio.timeout(60):
        while True:
            events = [event.event_type async for event in handle.fetch_history_events()]
            if event_type in events:
                after = events[events.index(event_type) :]
                if EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in after:
                    return
            await asyncio.sleep(0.05)


def statuses(view: RunView) -> dict[str, str]:
    return {step.id: step.status for step in view.steps}


def effects(office: Office, kind: str = "do") -> list[str]:
    """The steps that did, or undid, something, in order."""
    return [step for effect, step, _ in office.ledger if effect == kind]
