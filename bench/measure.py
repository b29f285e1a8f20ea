"""Runs the same calls both ways, interleaved, and says what each took: time, actions, history, replay."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.common import WorkflowIDReusePolicy
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker
from uuid_utils import uuid7

from activities.records.opening import open_records
from activities.records.writing import write_record_activity
from activities.tools.runner import tool_activities
from bench.by_hand import ByHand
from bench.shapes import definition
from contracts.names import PROCESS_WORKFLOW, SEARCH_ATTRIBUTES
from contracts.run import Definition, RunRequest
from contracts.stores import RecordSettings
from contracts.tools import Tool, tool
from runtime.client import compression_to, data_converter
from runtime.sandbox import patient, workflow_runner
from runtime.server import server_options, temporal_binary
from runtime.settings import Settings
from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow

HOME = TemporaryDirectory(prefix="surefoot-bench-")
CONVERTER = data_converter(Settings(home=Path(HOME.name)))
"""Large payloads go where users' do: into files of the home folder."""
RECORDS = open_records(RecordSettings(), Path(HOME.name), {})
ACTIVITIES = 200
HOPELESS = 5
ACTIONS = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_TIMER_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
    }
)


@tool(name="bench.add", effect="write", idempotent=True)
async def add(number: int) -> int:
    """One more."""
    return number + 1


@tool(name="bench.nap", effect="write", idempotent=True)
async def nap(number: int, seconds: int) -> int:
    """One more, later."""
    await asyncio.sleep(seconds)
    return number + 1


@dataclass(frozen=True)
class Case:
    """Calls to be made. `seconds`: how long a run may take before it counts as one that never ends."""

    shape: str
    size: int
    tool: Tool[..., Any] = add
    queue: str = "bench"
    seconds: float = 600

    @cached_property
    def definition(self) -> Definition:
        """Compiled once, and not while the clock runs."""
        return definition(self.shape, self.size, self.tool.spec)

    def __str__(self) -> str:
        return f"{self.shape} of {self.size:,}"


@dataclass(frozen=True)
class Ran:
    """One run. `histories`: of its continuations too, the first one first."""

    seconds: float
    histories: tuple[WorkflowHistory, ...]

    @property
    def events(self) -> list[HistoryEvent]:
        return [event for history in self.histories for event in history.events]

    @property
    def actions(self) -> int:
        return sum(event.event_type in ACTIONS for event in self.events)

    @property
    def bytes(self) -> int:
        return sum(event.ByteSize() for event in self.events)


@dataclass(frozen=True)
class Pair:
    ours: Ran
    by_hand: Ran


class NeverEnded(Exception):
    """A run that failed or took too long, with what its history says about it."""


def be_quiet() -> None:
    """Large graphs on a busy machine make the SDK's core warn all the time."""
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)), error_if_already_set=False)


@asynccontextmanager
async def environment() -> AsyncIterator[Client]:
    """The embedded server as users get it, with its data in memory."""
    be_quiet()
    started = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary()),
        dev_server_extra_args=server_options(),
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_log_level="never",
    )
    async with started:
        yield await connected(started.client.service_client.config.target_host)


async def connected(address: str) -> Client:
    return await Client.connect(address, data_converter=CONVERTER, grpc_compression=compression_to(address))


def worker(client: Client, queue: str = "bench", activities: int = ACTIVITIES) -> Worker:
    made = Worker(
        client,
        task_queue=queue,
        workflows=[ProcessWorkflow, AgentWorkflow, ByHand],
        activities=[*tool_activities([add, nap]), write_record_activity(RECORDS)],
        workflow_runner=workflow_runner(),
        max_concurrent_activities=activities,
        max_eager_activity_reservations_per_workflow_task=activities,
    )
    return patient(made)


async def interleaved(client: Client, case: Case, pairs: int) -> list[Pair]:
    """So many pairs, each way first in turn.

    Raises:
        NeverEnded: one of them did not complete.
    """
    made: list[Pair] = []
    for index in range(pairs):
        if index % 2:
            by_hand = await run_by_hand(client, case)
            made.append(Pair(await run_process(client, case), by_hand))
        else:
            ours = await run_process(client, case)
            made.append(Pair(ours, await run_by_hand(client, case)))
    return made


async def run_process(client: Client, case: Case) -> Ran:
    request = RunRequest(process="bench", input={}, definition=case.definition)
    run = f"bench-{uuid7()}"
    began = time.perf_counter()
    handle = await client.start_workflow(PROCESS_WORKFLOW, request, id=run, task_queue=case.queue)
    return await ran(client, handle, began, case.seconds)


async def run_by_hand(client: Client, case: Case) -> Ran:
    args = [case.shape, case.size, case.tool.spec.name]
    run = f"bench-{uuid7()}"
    began = time.perf_counter()
    handle = await client.start_workflow(
        ByHand.run, args=args, id=run, task_queue=case.queue, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
    )
    return await ran(client, handle, began, case.seconds)


async def ran(client: Client, handle: WorkflowHandle[Any, Any], began: float, seconds: float = 600) -> Ran:
    """What a run took since it `began`, once it has ended.

    Raises:
        NeverEnded: it failed, or did not complete within so many seconds.
    """
    latest = client.get_workflow_handle(handle.id)
    result = asyncio.create_task(handle.result())
    stuck = asyncio.create_task(_stuck(latest))
    try:
        await asyncio.wait((result, stuck), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            failing = "its workflow task fails or times out again and again"
            reason = await _reason(latest, failing if stuck.done() else f"not within {seconds:.0f} s")
            await latest.terminate()
            raise NeverEnded(reason)
        await result
    except WorkflowFailureError as error:
        raise NeverEnded(await _reason(latest, str(error.__cause__))) from error
    finally:
        result.cancel()
        stuck.cancel()
    taken = time.perf_counter() - began
    return Ran(taken, await _histories(client, handle))


async def _stuck(handle: WorkflowHandle[Any, Any]) -> None:
    """Until a workflow task has failed so often that it will go on failing."""
    while True:
        await asyncio.sleep(2)
        described = await handle.describe()
        if described.raw_description.pending_workflow_task.attempt >= HOPELESS:
            return


async def _reason(handle: WorkflowHandle[Any, Any], reason: str) -> str:
    async for event in handle.fetch_history_events(page_size=1000):
        failed = event.workflow_task_failed_event_attributes
        reason = failed.failure.message or reason
        reason = event.workflow_execution_terminated_event_attributes.reason or reason
    return reason


async def _histories(client: Client, handle: WorkflowHandle[Any, Any]) -> tuple[WorkflowHistory, ...]:
    found: list[WorkflowHistory] = []
    run_id = handle.first_execution_run_id
    while run_id:
        # Long histories take longer than the ordinary limit on a busy machine.
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history(
            rpc_timeout=timedelta(minutes=2)
        )
        found.append(history)
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return tuple(found)


async def replay_ratio(pair: Pair, times: int) -> float:
    """CPU to replay a run of ours by that of the one by hand."""
    ours = [await _replay(pair.ours) / await _replay(pair.by_hand) for _ in range(times + 1)]
    return statistics.median(ours[1:])


async def _replay(ran: Ran) -> float:
    replayer = Replayer(
        workflows=[ProcessWorkflow, AgentWorkflow, ByHand],
        data_converter=CONVERTER,
        workflow_runner=workflow_runner(),
    )
    began = time.process_time()
    for history in ran.histories:
        await replayer.replay_workflow(history)
    return time.process_time() - began
