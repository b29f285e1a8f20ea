"""Memory of a worker that holds many runs which wait for people: its own process, so that nothing else is counted."""

import asyncio
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from temporalio.client import Client
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.people.file import DirectoryFile
from activities.people.resolving import resolve_people_activity
from activities.records.writing import write_record_activity
from bench.measure import RECORDS, be_quiet
from contracts.names import PROCESS_WORKFLOW, STATUS_ATTRIBUTE
from contracts.run import RunRequest
from language.load import load_process
from runtime.client import data_converter
from runtime.sandbox import workflow_runner
from runtime.settings import load_settings
from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow

QUEUE = "bench-waiting"
CACHED = 100
AT_ONCE = 20
SECONDS = 600.0

PEOPLE = "users: {alice: {name: Alice}}\n"
PROCESS = "process: waits\nsteps:\n  ok: {approval: {title: Go?, from: [{any_of: [user:alice]}]}}\n"


async def memory_ratio(client: Client, runs: int, folder: Path) -> float:
    """Resident memory of a worker with so many waiting runs, by that of one with as many as its cache holds."""
    people = folder / "people.yaml"
    people.write_text(PEOPLE)
    address = client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, address, str(people), stdin=asyncio.subprocess.PIPE
    )
    try:
        await _start(client, CACHED, total=CACHED)
        before = _resident(process.pid)
        await _start(client, runs - CACHED, total=runs)
        return _resident(process.pid) / before
    finally:
        process.terminate()
        await process.wait()


async def _start(client: Client, runs: int, *, total: int) -> None:
    request = RunRequest(process="waits", input={}, definition=load_process(PROCESS, "waits.yaml", tools={}))
    gate = asyncio.Semaphore(AT_ONCE)

    async def start() -> None:
        async with gate:
            await client.start_workflow(PROCESS_WORKFLOW, request, id=f"waits-{uuid7()}", task_queue=QUEUE)

    await asyncio.gather(*(start() for _ in range(runs)))
    until = time.monotonic() + SECONDS
    while (await client.count_workflows(f"{STATUS_ATTRIBUTE.name} = 'waiting'")).count < total:
        if time.monotonic() > until:
            raise TimeoutError(f"{total} runs were started; not all of them wait after {SECONDS:.0f} s")
        await asyncio.sleep(0.2)


def _resident(pid: int) -> int:
    """Bytes; Linux only."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def main(address: str, people: str) -> None:
    be_quiet()
    client = await Client.connect(address, data_converter=data_converter(load_settings()))
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[ProcessWorkflow, AgentWorkflow],
        activities=[resolve_people_activity(DirectoryFile(Path(people))), write_record_activity(RECORDS)],
        workflow_runner=workflow_runner(),
        max_cached_workflows=CACHED,
        max_concurrent_workflow_tasks=AT_ONCE,
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
