"""Workers of several builds on one queue: a run stays on the build it began on, and changes it when it continues."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from contracts.errors import CallerError
from contracts.events import PublishEvent, shard_of, topic_workflow_id
from contracts.migration import Migration
from contracts.names import MIGRATE, PROCESS_WORKFLOW
from contracts.run import RunResult
from runtime.deployments import Deployments
from runtime.release import deployment
from runtime.sandbox import workflow_runner
from runtime.settings import Settings
from tests.servers import hasty, open_server
from tests.workflows.newer import NEWER_WORKFLOWS
from tests.workflows.office import Office, Run, effects, open_office
from workflows.registered import RELEASED_WORKFLOWS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

STEPS = """
    process: releasing
    steps:
      look: {tool: do.work, with: {what: "looked"}}
      ok: {approval: {title: "Go on?", from: [{any_of: [group:finance]}]}}
      tell: {tool: do.work, needs: [look, ok], with: {what: "told"}}
    output: ${ steps.tell.output.what }
"""
GROWING = """
    process: growing
    steps:
      look: {tool: do.work}
      ok: {approval: {title: "Go on?", from: [{any_of: [group:finance]}]}}
      page: {tool: do.work, needs: [look, ok], for_each: "${ input.pages }"}
      rest: {approval: {title: "And on?", from: [{any_of: [group:finance]}]}, needs: [page]}
      tell: {tool: do.work, needs: [rest], with: {what: "told"}}
    output: ${ steps.tell.output.what }
"""


@dataclass
class Builds:
    """Two builds of one deployment on one queue, `v1` and `v2`, each with a ledger of its own."""

    client: Client
    deployments: Deployments
    v1: Office
    v2: Office

    async def start(self, office: Office | None = None) -> Run:
        run = await (office or self.v1).start(STEPS)
        await run.until(lambda view: view.status == "waiting")
        return run

    async def until_on(self, workflow: str, build_id: str) -> None:
        async with asyncio.timeout(60):
            while await self.build_of(workflow) != build_id:
                await asyncio.sleep(0.05)

    async def build_of(self, workflow: str) -> str:
        try:
            described = await self.client.get_workflow_handle(workflow).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return "not started yet"
            raise
        return str(described.raw_description.workflow_execution_info.versioning_info.deployment_version.build_id)


@asynccontextmanager
async def open_builds(client: Client, v2: Sequence[type] = RELEASED_WORKFLOWS) -> AsyncIterator[Builds]:
    """`v2`: the workflows of the newer build."""
    name, queue = f"dep-{uuid4().hex}", f"releases-{uuid4().hex}"

    def build(build_id: str, workflows: Sequence[type]) -> AbstractAsyncContextManager[Office]:
        config = deployment(Settings(deployment=name, build_id=build_id))
        return open_office(client, queue=queue, workflows=workflows, deployment_config=config)

    async with build("v1", RELEASED_WORKFLOWS) as first, build("v2", v2) as second:
        yield Builds(client, Deployments(client, name, "user:op"), first, second)


@pytest_asyncio.fixture
async def builds(client: Client) -> AsyncIterator[Builds]:
    async with open_builds(client) as opened:
        yield opened


async def test_a_run_ends_on_the_build_it_began_on_and_new_runs_take_the_current_one(builds: Builds) -> None:
    await builds.deployments.promote("v1")
    old = await builds.start()
    await builds.deployments.promote("v2")
    new = await builds.start()
    assert [await builds.build_of(run.id) for run in (old, new)] == ["v1", "v2"]
    for run in (old, new):
        await run.decide("ok", "approve", "alice")
        assert (await run.handle.result()).output == "told"
    assert effects(builds.v1) == effects(builds.v2) == ["look", "tell"]
    assert await builds.deployments.rollback() == "v1"
    again = await builds.start()
    assert await builds.build_of(again.id) == "v1"
    await again.cancel()


async def test_a_ramp_splits_new_runs_and_rolling_it_back_ends_it(builds: Builds) -> None:
    await builds.deployments.promote("v1")
    await builds.deployments.ramp("v2", 50)
    found = await builds.deployments.look()
    assert {release.build_id: (release.status, release.percent) for release in found.releases} == {
        "v1": ("current", 50),
        "v2": ("ramping", 50),
    }
    runs = await asyncio.gather(*(builds.start() for _ in range(20)))
    where = [await builds.build_of(run.id) for run in runs]
    assert set(where) == {"v1", "v2"}, "of 20 runs all on one build: once in 500,000 times"
    assert await builds.deployments.rollback() == "v1"
    assert (await builds.deployments.look()).ramping is None
    assert await builds.build_of((await builds.start()).id) == "v1"


async def test_a_run_that_is_moved_goes_on_with_the_current_build(builds: Builds) -> None:
    await builds.deployments.promote("v1")
    run = await builds.start()
    await builds.deployments.promote("v2")
    assert await run.handle.execute_update(MIGRATE, Migration(by="user:op"))
    await builds.until_on(run.id, "v2")
    await run.waiting("ok")
    await run.decide("ok", "approve", "alice")
    assert (await run.handle.result()).output == "told"
    assert (effects(builds.v1), effects(builds.v2)) == (["look"], ["tell"])


async def test_a_long_run_goes_on_with_the_current_build_once_it_continues_as_new_and_a_short_one_stays(
    tmp_path: Path,
) -> None:
    async with (
        open_server(tmp_path, hasty(80)) as client,
        open_builds(client, NEWER_WORKFLOWS) as builds,
    ):
        await builds.deployments.promote("v1")
        long, short = [await builds.v1.start(GROWING, {"pages": list(range(count))}) for count in (20, 1)]
        for run in (long, short):
            await run.waiting("ok")
        await builds.deployments.promote("v2")
        for run in (long, short):
            await run.decide("ok", "approve", "alice")
        # Nobody asks it to.
        await builds.until_on(long.id, "v2")
        for run in (long, short):
            await run.waiting("rest")
            await run.decide("rest", "approve", "alice")
            assert (await run.handle.result()).output == "told"
        assert [await builds.build_of(run.id) for run in (long, short)] == ["v2", "v1"]
        assert Counter(step.partition("[")[0] for step in effects(builds.v1)) == {"look": 2, "page": 21, "tell": 1}
        assert effects(builds.v2) == ["tell"], "of the long one"
        before, *after = await parts(long)
        assert after
        assert len(await parts(short)) == 1
        newer = Replayer(
            workflows=NEWER_WORKFLOWS, workflow_runner=workflow_runner(), data_converter=client.data_converter
        )
        with pytest.raises(NondeterminismError):
            await newer.replay_workflow(await before.handle.fetch_history())


async def parts(run: Run) -> list[Run]:
    """A run from its first part to its last."""
    client, found = run.office.client, list[Run]()
    part = (await run.handle.describe()).raw_description.workflow_execution_info.first_run_id
    while part:
        found.append(Run(run.office, client.get_workflow_handle(run.id, run_id=part, result_type=RunResult)))
        last = (await found[-1].handle.fetch_history()).events[-1]
        part = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


async def test_a_part_of_a_run_stays_on_the_build_of_its_run(builds: Builds) -> None:
    await builds.deployments.promote("v1")
    for office in (builds.v1, builds.v2):
        office.children["releasing"] = office.definition(STEPS)
    whole = await builds.v1.start("process: whole\nsteps: {part: {process: releasing}}")
    part: Run = Run(builds.v1, builds.client.get_workflow_handle(f"{whole.id}/part"))
    await whole.until(lambda view: any(step.child for step in view.steps))
    await builds.until_on(part.id, "v1")
    async with asyncio.timeout(60):
        while not await is_waiting(part):
            await asyncio.sleep(0.05)
    await builds.deployments.promote("v2")
    first = (await part.handle.describe()).run_id
    await part.handle.execute_update(MIGRATE, Migration(by="user:op"))
    async with asyncio.timeout(60):
        while (await part.handle.describe()).run_id == first:
            await asyncio.sleep(0.05)
    await part.waiting("ok")
    assert await builds.build_of(part.id) == "v1"
    await whole.cancel()


async def is_waiting(part: Run) -> bool:
    """Whether a run that another one started has come to its approval."""
    try:
        return bool((await part.view()).waiting)
    except WorkflowQueryFailedError:  # it is still loading its process
        return False


async def test_a_topic_goes_with_the_current_build(builds: Builds) -> None:
    await builds.deployments.promote("v1")
    name = f"test.{uuid4().hex}"
    topic = builds.v1.topics
    await topic.publish(PublishEvent(id="1", topic=name, key="k"))
    shard = topic_workflow_id(name, shard_of("k"))
    await builds.until_on(shard, "v1")
    await builds.deployments.promote("v2")
    await topic.publish(PublishEvent(id="2", topic=name, key="k"))
    await builds.until_on(shard, "v2")


async def test_a_run_of_a_newer_release_waits_for_one_that_can_read_it(office: Office) -> None:
    """After a rollback: what the older release cannot read must not fail the run."""
    definition = office.definition(STEPS)
    snapshot = {"started": "2026-01-01T00:00:00Z", "records": [], "completions": 0, "of_the_future": 1}
    request = {"process": "releasing", "definition": definition.model_dump(mode="json"), "snapshot": snapshot}
    handle = await office.client.start_workflow(
        PROCESS_WORKFLOW, request, id=f"newer-{uuid4()}", task_queue=office.queue
    )

    async def failed_tasks() -> int:
        kinds = [event.event_type async for event in handle.fetch_history_events()]
        return kinds.count(EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)

    async with asyncio.timeout(60):
        while not await failed_tasks():
            await asyncio.sleep(0.05)
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()


async def test_a_build_without_workers_is_not_given_runs(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    await builds.deployments.promote("v1")
    monkeypatch.setattr("runtime.deployments.APPEAR_SECONDS", 0.0)
    with pytest.raises(CallerError, match=r"build v9 of .* cannot be given runs"):
        await builds.deployments.promote("v9")
    with pytest.raises(CallerError, match="there is nothing to go back to"):
        await builds.deployments.rollback()
    with pytest.raises(CallerError, match="no worker of deployment 'nobody' has asked for work"):
        await Deployments(builds.client, "nobody", "user:op").look()
