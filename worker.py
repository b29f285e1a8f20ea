"""The worker: settings -> server -> client -> activities -> Worker. Runs until SIGTERM or SIGINT, then drains."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, get_args

import httpx2
from rich.console import Console
from temporalio.common import MetricMeter
from temporalio.worker import Interceptor, PollerBehaviorAutoscaling, Worker

from activities.boards.opening import open_board as board_of
from activities.conversations import ConversationStore
from activities.conversations.opening import open_conversations
from activities.events import event_activities
from activities.faults.dice import Dice
from activities.faults.endpoint import FaultyTransport
from activities.faults.points import FaultPoints
from activities.gauges import showing_breakers
from activities.model.call import Heard, ModelCall, unheard
from activities.model.speech import LIVE_SECONDS
from activities.notices.opening import open_notifier
from activities.notices.sending import Notifier
from activities.notices.telling import notify_activity
from activities.notices.wording import LinkFor, RunUrl, Wording, no_link, no_url
from activities.people.opening import open_directory
from activities.people.resolving import resolve_people_activity
from activities.plans import check_plan_activity
from activities.processes import await_process_activity, load_process_activity, load_run_activity
from activities.records.opening import open_records as records_of
from activities.records.store import Records
from activities.records.writing import write_record_activity
from activities.retries import retry_now_activity
from activities.tools.declared import Connectors
from activities.tools.results import keep_result_activity
from activities.tools.runner import tool_activities
from activities.tools.state import RunState
from contracts.board import BoardStore
from contracts.directory import PeopleDirectory
from contracts.errors import ServerUnreachable, SettingsInvalid, SurefootError
from contracts.faults import ModelFaults
from contracts.notices import NoticeDesk, SendNotice
from contracts.queues import DEFAULT_SLOTS, Role
from contracts.record import RecordStore
from contracts.settings import all_by_script, describe_model
from contracts.state import state_tools
from runtime.catalog import Catalog
from runtime.client import Connection, connect, conversation_retention, ensure_search_attributes, is_configured
from runtime.clock import Clock
from runtime.counting import counting_runs
from runtime.health import health, measuring
from runtime.keys import Keys
from runtime.links import Links
from runtime.logging import configure_logging, log_what_the_sdk_says
from runtime.queues import OntoQueues, Polled, polled
from runtime.redaction import without_shapes
from runtime.release import build_id, deployment
from runtime.sandbox import patient, workflow_runner
from runtime.server import embedded_server
from runtime.settings import Settings, load_settings, ready_home
from runtime.topics import Topics
from runtime.triggers import keep_triggers
from workflows.registered import RELEASED_WORKFLOWS, WORKFLOWS

Transport = Callable[[], httpx2.AsyncBaseTransport]

CACHED = 1000
"""Runs that a worker keeps in memory; the SDK's default. Others are replayed from their histories."""


@asynccontextmanager
async def running_worker(
    settings: Settings,
    connection: Connection,
    catalog: Catalog,
    roles: Collection[Role] = (),
    *,
    transport: Transport | None = None,
    heard: Heard = unheard,
    deaths: Interceptor | None = None,
    meter: MetricMeter | None = None,
) -> AsyncIterator[Sequence[Worker]]:
    """A worker at work for the length of the block, of the SDK's one for each queue; then it drains.

    `roles`: what it takes work of; without any, all. `transport`: what carries requests to models; `heard`: who else
    is told what they said. `deaths`: stands in for fault points that kill the process; every task of a run is then done
    as by a worker that has just come. `meter`: of the SDK, when it measures.

    Raises:
        SettingsInvalid: nothing can be kept in the home folder; search attributes are missing on the server and we may
            not add them; the directory of people does not hold; a role has no queue; faults are set that are not meant
            for here, or cannot be made.
    """
    queues = polled(settings, roles)
    dice = dice_of(settings, connection, queues)
    ready_home(settings.home)
    # Tools find the folder there too, wherever it was set.
    os.environ["SUREFOOT_HOME"] = str(settings.home)
    directory = open_directory(settings.people, os.environ, settings.egress.proxy)
    if settings.people.file is not None:
        await directory.everyone()  # a mistake in the file is told now, not by the first approval
    await ensure_search_attributes(connection.client)
    processes = [catalog.definition(name).process for name in sorted(catalog.names)]
    topics = Topics(connection.client, settings.task_queue)
    await keep_triggers(connection.client, topics, settings.task_queue, processes)
    keys = Keys.read(settings.encryption, os.environ)
    conversations = open_conversations(
        settings.conversations,
        settings.home,
        await conversation_retention(connection.client),
        os.environ,
        keys,
    )
    records = records_of(settings.records, settings.home, os.environ, keys)
    await records.prepare()
    notifier = notifier_of(settings, records, directory, keys, connection.link)
    board = board_of(settings.conversations, settings.home, os.environ)
    points = deaths or (FaultPoints(dice) if dice is not None else None)
    cached = CACHED if deaths is None else 0
    models = ModelCall(
        conversations,
        catalog.rehearsal,
        settings.models,
        api=settings.model_api,
        board=board,
        foreign=catalog.foreign,
        transport=transport or ((lambda: FaultyTransport(dice)) if dice is not None else None),
        heard=heard,
    )
    connectors = Connectors(settings.egress)
    try:
        work = activities(settings, connection, catalog, conversations, records, models, connectors, notifier)
        async with AsyncExitStack() as stack:
            workers = [
                await stack.enter_async_context(patient(worker_of(each, settings, connection, work, points, cached)))
                for each in queues
            ]
            stack.push_async_callback(_stop, workers)
            await stack.enter_async_context(showing_breakers(meter, models.states, connectors.breakers.views))
            yield workers
    finally:
        await notifier.close()
        await directory.close()
        await connectors.close()
        await models.close()
        await board.close()
        await records.close()
        await conversations.close()


async def _stop(workers: Iterable[Worker]) -> None:
    """All at once: each of them gives what is at work the same time, and none takes more while another one does."""
    await asyncio.gather(*(each.shutdown() for each in workers))


def dice_of(settings: Settings, connection: Connection, queues: Collection[Polled]) -> Dice | None:
    """What decides which faults are made; None where none are. `queues`: those that this worker takes work from.

    Raises:
        SettingsInvalid: they are meant for another namespace, or they are of models and this worker would ask none.
    """
    if settings.faults is None:
        return None
    namespace = connection.client.namespace
    if settings.faults.namespace != namespace:
        raise SettingsInvalid(
            f"faults.namespace is {settings.faults.namespace!r}, and this worker is for namespace {namespace!r}: it "
            "would be harmed on purpose where that was not meant; take [faults] out of its settings"
        )
    asks_models = (settings.queues.models or settings.task_queue) in {each.queue for each in queues}
    if settings.faults.model != ModelFaults() and asks_models and all_by_script(settings.models, os.environ):
        raise SettingsInvalid(
            "faults.model needs a model's endpoint, and here the rehearsal model answers, so that none of these faults "
            "would be made; set OPENAI_API_KEY, OPENAI_BASE_URL or models.default.base_url, or take faults.model out "
            "of its settings"
        )
    return Dice(settings.faults, settings.home / "faults.log")


def worker_of(
    polled: Polled,
    settings: Settings,
    connection: Connection,
    work: Sequence[Callable[..., Any]],
    points: Interceptor | None,
    cached: int,
) -> Worker:
    """The SDK's worker of one queue. It knows every activity, so that settings alone say which are on its queue."""
    workflows = RELEASED_WORKFLOWS if settings.deployment else WORKFLOWS
    return Worker(
        connection.client,
        task_queue=polled.queue,
        workflows=workflows if polled.workflows else (),
        activities=work,
        interceptors=[OntoQueues(settings.queues), Clock(), *([points] if points else [])],
        workflow_runner=workflow_runner(),
        max_cached_workflows=cached,
        tuner=polled.tuner,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_eager_activity_reservations_per_workflow_task=DEFAULT_SLOTS,
        max_heartbeat_throttle_interval=timedelta(seconds=LIVE_SECONDS),
        graceful_shutdown_timeout=settings.grace,
        deployment_config=deployment(settings),
    )


@asynccontextmanager
async def open_people(settings: Settings) -> AsyncIterator[PeopleDirectory]:
    """The directory that approvals ask, for the length of the block."""
    directory = open_directory(settings.people, os.environ, settings.egress.proxy)
    try:
        yield directory
    finally:
        await directory.close()


def link_of(settings: Settings) -> LinkFor:
    """Links to decide by, once the settings say under which address the page is served."""
    if settings.links.url is None:
        return no_link
    links = Links.open(settings, os.environ)

    def link(notice: SendNotice, user: str) -> str | None:
        asked = notice.question
        return links.link_for(notice.run, notice.step, asked.hash, user, asked.until) if asked else None

    return link


def notifier_of(
    settings: Settings, records: Records, directory: PeopleDirectory, keys: Keys | None, run_url: RunUrl = no_url
) -> Notifier:
    """The channels by which people are told."""
    return open_notifier(
        settings.notices,
        Wording(settings.notice_templates, link_of(settings), run_url),
        records.database,
        directory,
        os.environ,
        proxy=settings.egress.proxy,
        cipher=keys,
    )


@asynccontextmanager
async def open_notices(settings: Settings) -> AsyncIterator[NoticeDesk]:
    """The channels and what became of messages, for the length of the block."""
    keys = Keys.read(settings.encryption, os.environ)
    records = records_of(settings.records, settings.home, os.environ, keys)
    try:
        async with open_people(settings) as directory:
            notifier = notifier_of(settings, records, directory, keys)
            try:
                yield notifier
            finally:
                await notifier.close()
    finally:
        await records.close()


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[RecordStore]:
    """The records of runs, for the length of the block."""
    records = records_of(settings.records, settings.home, os.environ, Keys.read(settings.encryption, os.environ))
    try:
        yield records
    finally:
        await records.close()


@asynccontextmanager
async def open_board(settings: Settings) -> AsyncIterator[BoardStore]:
    """The board that workers and operators share, for the length of the block."""
    board = board_of(settings.conversations, settings.home, os.environ)
    try:
        yield board
    finally:
        await board.close()


def activities(
    settings: Settings,
    connection: Connection,
    catalog: Catalog,
    conversations: ConversationStore,
    records: Records,
    models: ModelCall,
    connectors: Connectors,
    notifier: Notifier,
) -> list[Callable[..., Any]]:
    """Everything the workflows call, with its clients put in."""
    declared = connectors.tools(catalog.declared.values())
    return [
        *tool_activities(
            (*catalog.tools.values(), *declared, *state_tools(RunState(connection.client))), conversations=conversations
        ),
        models.activity(),
        load_process_activity(catalog.definition),
        resolve_people_activity(notifier.directory),
        await_process_activity(connection.client),
        load_run_activity(connection.client),
        keep_result_activity(conversations),
        write_record_activity(records, settings.notices),
        notify_activity(notifier),
        check_plan_activity(),
        retry_now_activity(connection.client),
        *event_activities(Topics(connection.client, settings.task_queue)),
    ]


async def main(roles: Sequence[Role] = ()) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = load_settings()
    configure_logging(settings)
    log_what_the_sdk_says()
    catalog = Catalog.load(settings.folders)
    for process in catalog.names:
        catalog.definition(process)
    async with AsyncExitStack() as stack:
        if not is_configured():
            await stack.enter_async_context(embedded_server(settings))
        sdk = measuring(settings)
        connection = await connect(settings, sdk)
        stack.push_async_callback(connection.close)
        workers: list[Worker] = []

        def is_at_work() -> bool:
            return bool(workers) and not stop.is_set() and all(each.is_running for each in workers)

        await stack.enter_async_context(health(settings, connection.client, is_at_work))
        meter = sdk.metric_meter if sdk else None
        workers += await stack.enter_async_context(running_worker(settings, connection, catalog, roles, meter=meter))
        await stack.enter_async_context(counting_runs(connection.client, meter, catalog.names))
        announce(settings, connection, catalog, roles)
        await stop.wait()
        Console(stderr=True).print("stopping; what is running is finished first", style="dim")


def announce(settings: Settings, connection: Connection, catalog: Catalog, roles: Sequence[Role]) -> None:
    """One screen: where, what, and who answers for agents."""
    rows = {
        "server": connection.address + (" (embedded)" if connection.embedded else f", {connection.client.namespace}"),
        "web": connection.ui or "set SUREFOOT_UI_URL for links",
        "queue": ", ".join(each.queue for each in polled(settings, roles)),
        "release": f"{build_id(settings)} of {settings.deployment}" if settings.deployment else "not versioned",
        "processes": ", ".join(sorted(catalog.names)) or "none",
        "tools": ", ".join(sorted(catalog.specs)) or "none",
        "model": describe_model(settings.models, os.environ),
        "home": str(settings.home),
    }
    console = Console(stderr=True, highlight=False)
    console.print("[bold]Surefoot worker[/bold] is ready; Ctrl-C stops it")
    if settings.faults is not None:
        console.print(f"[bold red]FAULTS ARE MADE ON PURPOSE[/bold red]: {settings.faults}", soft_wrap=True)
    for name in settings.queues.idle(catalog.specs):
        said = f"queues.tools: there is no tool {name} here, so that its queue stays empty"
        console.print(said, style="yellow", markup=False, soft_wrap=True)
    for name, value in rows.items():
        console.print(f"  {name:<10} {value}", soft_wrap=True)


def run() -> int:
    """The exit status: 0 stopped when told to, 2 something is set wrong, 3 the server cannot be reached."""
    parser = argparse.ArgumentParser(
        description="Runs workflows and tools until Ctrl-C or SIGTERM, and a Temporal server when none is configured.",
        epilog="Settings: surefoot.toml, SUREFOOT_* and TEMPORAL_* variables; see docs/operations.md.",
    )
    parser.add_argument(
        "--only",
        choices=get_args(Role),
        action="append",
        default=[],
        metavar="WORK",
        help="take only workflows, models or tools, each from its own queue (docs/cluster.md); may be repeated",
    )
    roles = parser.parse_args().only
    try:
        asyncio.run(main(roles))
    except SurefootError as error:
        print(without_shapes(str(error)), file=sys.stderr)
        return 3 if isinstance(error, ServerUnreachable) else 2
    return 0


if __name__ == "__main__":
    status = run()
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
