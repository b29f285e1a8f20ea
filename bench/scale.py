"""How much more two workers do than one, of steps that wait rather than compute: by default 200 of a second."""

import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from temporalio.client import Client
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.records.writing import write_record_activity
from activities.tools.runner import tool_activities
from bench.measure import RECORDS, connected, environment, nap
from contracts.names import PROCESS_WORKFLOW
from contracts.queues import QueueSettings
from contracts.run import RunRequest
from language.load import load_process
from runtime.queues import OntoQueues
from runtime.sandbox import patient, workflow_runner
from workflows.process import ProcessWorkflow

SLOTS = 10
"""Of a worker."""
PROCESS = """
process: naps
input: {type: object, required: [items], properties: {items: {type: array}}}
steps:
  each: {for_each: "${ input.items }", tool: bench.nap, with: {number: 1, seconds: 1}}
"""


async def seconds(client: Client, workers: int, steps: int) -> float:
    """From the moment so many workers begin, to the end of a run whose steps all wait for them."""
    queue = f"scale-{workers}"
    queues = QueueSettings(tools={"bench.*": f"{queue}-tools"})
    definition = load_process(PROCESS, "naps.yaml", tools={nap.spec.name: nap.spec})
    request = RunRequest(process="naps", input={"items": list(range(steps))}, definition=definition)
    decides = Worker(
        client,
        task_queue=queue,
        workflows=[ProcessWorkflow],
        activities=[write_record_activity(RECORDS)],
        interceptors=[OntoQueues(queues)],
        workflow_runner=workflow_runner(),
    )
    async with patient(decides), AsyncExitStack() as stack:
        run = await client.start_workflow(PROCESS_WORKFLOW, request, id=f"naps-{uuid7()}", task_queue=queue)
        while len((await run.describe()).raw_description.pending_activities) < steps:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        began = time.monotonic()
        for _ in range(workers):
            own = await connected(client.service_client.config.target_host)
            tools = tool_activities([nap])
            does = Worker(own, task_queue=f"{queue}-tools", activities=tools, max_concurrent_activities=SLOTS)
            await stack.enter_async_context(does)
        await run.result()
        return time.monotonic() - began


async def main(steps: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    async with environment() as client:
        one, two = [await seconds(client, workers, steps) for workers in (1, 2)]
    print(f"{steps} steps of 1 s, {SLOTS} at once in a worker: one {one:.1f} s, two {two:.1f} s, {one / two:.2f} times")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
