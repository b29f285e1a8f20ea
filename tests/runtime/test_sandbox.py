import asyncio
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.worker import Replayer, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from uuid_utils import uuid7

from runtime.client import data_converter
from runtime.sandbox import FORBIDDEN, patient, workflow_runner
from runtime.settings import Settings
from tests.runtime.sandboxed import CallsAnActivity, HoldsOn, Imports, LeavesInOrder, TakesItsTime, UsesWhatIsShared


async def outcome(client: Client, workflow_type: type, argument: object) -> tuple[object, str]:
    run = f"sandbox-{uuid7()}"
    worker = Worker(
        client,
        task_queue=run,
        workflows=[Imports, UsesWhatIsShared, TakesItsTime],
        workflow_runner=workflow_runner(),
        workflow_failure_exception_types=[Exception],
    )
    async with patient(worker):
        return await client.execute_workflow(workflow_type.__name__, argument, id=run, task_queue=run), run


async def test_a_worker_that_core_does_not_close_ends_all_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.sandbox.LONGEST_FAREWELL", 0.1)
    monkeypatch.setattr("temporalio.bridge.worker.Worker.finalize_shutdown", lambda worker: asyncio.Event().wait())
    async with asyncio.timeout(60):
        assert (await outcome(client, UsesWhatIsShared, 6))[0] == ["12 is greater than the maximum of 10"]


async def test_a_run_that_does_not_let_go_is_named_and_keeps_no_other_from_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, left_to_python = f"sandbox-{uuid7()}", list[object]()
    monkeypatch.setattr(sys, "unraisablehook", left_to_python.append)
    with capture_logs() as said:
        async with patient(
            Worker(client, task_queue=queue, workflows=[HoldsOn, LeavesInOrder], workflow_runner=workflow_runner())
        ):
            for flow in (HoldsOn, LeavesInOrder):
                run = await client.start_workflow(flow.run, id=f"{queue}-{flow.__name__}", task_queue=queue)
                assert await run.query("is_there")
    gc.collect()
    assert [(word["event"], word["run"]) for word in said] == [("a run does not let go", f"{queue}-HoldsOn")]
    assert left_to_python == []


@pytest.mark.parametrize("module", sorted({"activities.people", "runtime.settings", "openai", "yaml"}))
async def test_a_workflow_cannot_reach_what_does_io(client: Client, module: str) -> None:
    assert module.partition(".")[0] in FORBIDDEN
    with pytest.raises(WorkflowFailureError) as caught:
        await outcome(client, Imports, module)
    assert module in str(caught.value.cause)


async def test_expressions_schemas_and_logs_work_in_a_workflow_and_when_it_replays(client: Client) -> None:
    result, run = await outcome(client, UsesWhatIsShared, 6)
    assert result == ["12 is greater than the maximum of 10"]
    replayer = Replayer(
        workflows=[UsesWhatIsShared], workflow_runner=workflow_runner(), data_converter=data_converter(Settings())
    )
    await replayer.replay_workflow(await client.get_workflow_handle(run).fetch_history())


async def test_a_workflow_task_may_take_longer_than_the_sdk_alone_allows(client: Client) -> None:
    result, run = await outcome(client, TakesItsTime, 2.5)
    assert result == "done"
    events = (await client.get_workflow_handle(run).fetch_history()).events
    assert not any(event.HasField("workflow_task_failed_event_attributes") for event in events)


@dataclass(frozen=True)
class Noting(PayloadCodec, WithSerializationContext):
    """Notes what each payload is said to belong to."""

    seen: set[SerializationContext | None] = field(default_factory=set)
    context: SerializationContext | None = None

    def with_context(self, context: SerializationContext) -> "Noting":
        return replace(self, context=context)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        self.seen.add(self.context)
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        self.seen.add(self.context)
        return list(payloads)


@activity.defn
async def echo(text: str) -> str:
    return text


async def test_payloads_belong_to_the_same_activities_and_runs_as_in_the_sdks_own_sandbox(client: Client) -> None:
    run = f"sandbox-{uuid7()}"

    async def contexts(runner: WorkflowRunner) -> set[SerializationContext | None]:
        config = client.config()
        noting = Noting()
        config["data_converter"] = replace(data_converter(Settings()), payload_codec=noting)
        with_codec = Client(**config)
        async with patient(
            Worker(with_codec, task_queue=run, workflows=[CallsAnActivity], activities=[echo], workflow_runner=runner)
        ):
            assert await with_codec.execute_workflow(CallsAnActivity.run, "so", id=run, task_queue=run) == "so"
        return noting.seen

    ours = await contexts(workflow_runner())
    assert ours == await contexts(SandboxedWorkflowRunner(restrictions=workflow_runner().restrictions))
    assert {type(context) for context in ours} == {ActivitySerializationContext, WorkflowSerializationContext}
