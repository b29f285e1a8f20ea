"""Queues of their own for model calls and tools: what goes where, who takes it, what is refused."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, ResourceBasedSlotSupplier
from uuid_utils import uuid7

from contracts.errors import SettingsInvalid
from contracts.names import PROCESS_WORKFLOW
from contracts.queues import QueueSettings, Role
from contracts.run import RunResult
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.queues import polled
from runtime.settings import Settings
from tests.runtime.waiting import until
from worker import announce, running_worker

FILES = {
    "process.yaml": """
process: spread
agents:
  clerk: {instructions: You are a clerk., tools: [erp.read]}
steps:
  book: {tool: erp.book}
  plain: {tool: desk.note}
  ask: {needs: [book, plain], agent: clerk, task: Read it.}
output: ${ steps.ask.output }
""",
    "tools.py": '''
from contracts.tools import tool


@tool(name="erp.book", effect="write", idempotent=True)
def book() -> str:
    """Book it."""
    return "booked"


@tool(name="erp.read", effect="read")
def read() -> str:
    """Read it."""
    return "read"


@tool(name="desk.note", effect="write", idempotent=True)
def note() -> str:
    """Note it."""
    return "noted"
''',
    "rehearsal.yaml": "agents: {clerk: [{call: [{tool: erp.read}]}, {answer: done}]}\n",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "processes" / "spread"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    queue = f"test-{uuid7()}"
    queues = QueueSettings(models=f"{queue}-models", tools={"erp.*": f"{queue}-erp"}, slots={f"{queue}-erp": "auto"})
    return Settings(home=tmp_path / "home", processes=(folder.parent,), task_queue=queue, queues=queues)


async def test_each_kind_of_work_waits_in_its_queue_for_a_worker_that_takes_it(
    client: Client, settings: Settings
) -> None:
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    catalog = Catalog.load(settings.folders)

    def worker(role: Role) -> AbstractAsyncContextManager[object]:
        return running_worker(settings, connection, catalog, (role,))

    name = f"spread-{uuid7()}"
    async with worker("workflows"), asyncio.timeout(60):
        run = await client.start_workflow(
            PROCESS_WORKFLOW,
            {"process": "spread", "input": {}},
            id=name,
            task_queue=settings.task_queue,
            result_type=RunResult,
        )
        await until_pending(run, "erp.book")
        async with worker("tools"):
            await until_pending(client.get_workflow_handle(f"{name}/ask"), "surefoot.call_model")
            async with worker("models"):
                assert (await run.result()).output == "done"
    assert await queues_of(run) == {
        "surefoot.load_process": settings.task_queue,
        "surefoot.write_record": settings.task_queue,
        "desk.note": settings.task_queue,
        "erp.book": f"{settings.task_queue}-erp",
    }


HELD = '''
import time
from pathlib import Path

from contracts.tools import tool

FOLDER = Path(__file__).parent


@tool(name="erp.book", effect="write", idempotent=True)
def book() -> str:
    """Say that it is called, then wait for the file `open`."""
    (FOLDER / "called").touch()
    while not (FOLDER / "open").exists():
        time.sleep(0.02)
    return "booked"
'''


async def test_told_to_stop_a_worker_takes_nothing_more_from_any_queue_while_one_of_them_finishes(
    client: Client, settings: Settings
) -> None:
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    folder = settings.processes[0] / "spread"
    (folder / "tools.py").write_text(HELD)
    (folder / "process.yaml").write_text("{process: spread, steps: {book: {tool: erp.book}}}")
    (folder / "rehearsal.yaml").unlink()
    settings = settings.model_copy(update={"grace": timedelta(hours=1)})
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(running_worker(settings, connection, Catalog.load(settings.folders)))
        run = await client.start_workflow(
            PROCESS_WORKFLOW, {"process": "spread"}, id=f"spread-{uuid7()}", task_queue=settings.task_queue
        )
        await until((folder / "called").exists, "the tool is called")
        stopping = asyncio.create_task(stack.aclose())
        try:
            await until(lambda: [each.is_running for each in workers] == [False, False, True], "the others' end", 10)
        finally:
            (folder / "open").touch()
            await stopping
    await run.terminate()


async def until_pending(run: WorkflowHandle[Any, Any], activity: str) -> None:
    """Until the run waits for this activity alone."""
    pending: list[str] = []
    while pending != [activity]:
        with suppress(RPCError):  # the run does not exist yet
            described = await run.describe()
            pending = [each.activity_type.name for each in described.raw_description.pending_activities]
        await asyncio.sleep(0.05)


async def queues_of(run: WorkflowHandle[Any, Any]) -> dict[str, str]:
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in (await run.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return {each.activity_type.name: each.task_queue.name for each in scheduled}


async def test_a_home_that_is_no_folder_is_refused_before_any_work_is_taken(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    file = tmp_path / "file"
    file.touch()
    settings = settings.model_copy(update={"home": file})
    with pytest.raises(SettingsInvalid, match=f"^{file}: File exists; .* SUREFOOT_HOME"):
        async with running_worker(settings, connection, Catalog.load(settings.folders)):
            pass


async def test_a_worker_scales_its_pollers_and_slots_by_itself(client: Client, settings: Settings) -> None:
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    async with running_worker(settings, connection, Catalog.load(settings.folders)) as workers:
        configs = [worker.config() for worker in workers]
    assert [config["task_queue"] for config in configs] == [each.queue for each in polled(settings)]
    for config in configs:
        for behavior in (config["workflow_task_poller_behavior"], config["activity_task_poller_behavior"]):
            assert isinstance(behavior, PollerBehaviorAutoscaling)
    tuners = [tuner for config in configs if (tuner := config["tuner"]) is not None]
    automatic = [isinstance(each._get_activity_task_slot_supplier(), ResourceBasedSlotSupplier) for each in tuners]
    assert automatic == [each.slots == "auto" for each in polled(settings)]


def test_without_roles_a_worker_takes_all_there_is(settings: Settings) -> None:
    queue = settings.task_queue
    found = {each.queue: (each.workflows, each.slots) for each in polled(settings)}
    assert found == {queue: (True, 200), f"{queue}-models": (False, 200), f"{queue}-erp": (False, "auto")}
    assert [each.queue for each in polled(Settings(task_queue="only-one"))] == ["only-one"]


def test_a_role_without_a_queue_and_slots_of_no_queue_are_refused() -> None:
    models: Role = "models"
    with pytest.raises(SettingsInvalid, match=r"--only models: queues\.models is not set"):
        polled(Settings(), (models,))
    with pytest.raises(SettingsInvalid, match=r"queues\.slots: nothing is on queue 'other'; there are surefoot"):
        polled(Settings(queues=QueueSettings(slots={"other": 5})))


def test_the_first_name_that_fits_says_the_queue_and_the_engine_keeps_its_own() -> None:
    queues = QueueSettings(tools={"erp.read*": "a", "erp.*": "b", "*": "c"})
    assert [queues.of(name) for name in ("erp.read_order", "erp.book", "mail.send")] == ["a", "b", "c"]
    assert queues.of("surefoot.write_record") is None
    assert queues.of("surefoot.call_model") is None


def test_a_queue_of_tools_that_are_not_there_is_told_of(
    client: Client, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    queues = QueueSettings(tools={"eerp.*": "a", "erp.*": "b"})
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    announce(settings.model_copy(update={"queues": queues}), connection, Catalog.load(settings.folders), ())
    told = [line for line in capsys.readouterr().err.splitlines() if "queues.tools" in line]
    assert told == ["queues.tools: there is no tool eerp.* here, so that its queue stays empty"]
