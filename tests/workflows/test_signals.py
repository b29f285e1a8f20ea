"""What workflows tell each other."""

from uuid import uuid4

from temporalio.client import Client
from temporalio.worker import Worker

from runtime.sandbox import patient, workflow_runner
from tests.workflows.telling import ThinksBetter


async def test_a_task_that_is_cancelled_before_its_signal_is_sent_is_cancelled_and_no_more(client: Client) -> None:
    name = f"telling-{uuid4().hex}"
    worker = Worker(client, task_queue=name, workflows=[ThinksBetter], workflow_runner=workflow_runner())
    async with patient(worker):
        result = await client.execute_workflow(ThinksBetter.run, id=name, task_queue=name)
    assert result == "was cancelled"
