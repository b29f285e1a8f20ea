"""`deploy` and the workers of its builds: none is given runs that nobody would take, and no rollback undoes another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from runtime.release import deployment
from runtime.settings import Settings
from tests.cli.conftest import Starter


@workflow.defn
class Nothing:
    @workflow.run
    async def run(self) -> None:
        """What a worker must have, to be one."""


class Builds:
    """Workers of builds of a deployment of the test's own, on one queue."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def __call__(self, build_id: str) -> Worker:
        return Worker(
            self._client,
            task_queue=self.name,
            workflows=[Nothing],
            workflow_runner=UnsandboxedWorkflowRunner(),
            deployment_config=deployment(Settings(deployment=self.name, build_id=build_id)),
        )


@pytest.fixture
def builds(client: Client, monkeypatch: pytest.MonkeyPatch) -> Builds:
    name = f"dep-{uuid4().hex}"
    monkeypatch.setenv("SUREFOOT_DEPLOYMENT", name)
    monkeypatch.setattr("runtime.deployments.LOOK_SECONDS", 0.05)
    return Builds(client, name)


async def routing(starter: Starter) -> tuple[str | None, str | None, float]:
    """The current build, the ramping one and its share."""
    found = (await starter("deploy", "--json")).json
    return found["current"], found["ramping"], found["percent"]


async def current_after(starter: Starter, *words: str) -> str | None:
    ended = await starter("deploy", *words)
    assert ended.status == 0, ended.err
    return (await routing(starter))[0]


@asynccontextmanager
async def v2_whose_v1_has_gone(starter: Starter, builds: Builds) -> AsyncIterator[None]:
    """v2 is current and at work; before it v1 was."""
    async with builds("v2"):
        async with builds("v1"):
            assert await current_after(starter, "promote", "v1") == "v1"
        assert await current_after(starter, "promote", "v2") == "v2"
        yield


async def test_a_build_whose_workers_have_gone_is_given_no_runs(
    starter: Starter, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with v2_whose_v1_has_gone(starter, builds):
        monkeypatch.setattr("runtime.deployments.APPEAR_SECONDS", 0.0)
        for words in (("rollback",), ("promote", "v1"), ("ramp", "v1", "--percent", "50")):
            refused = await starter("deploy", *words)
            assert refused.status == 2
            told = " ".join(refused.err.split())
            assert f"build v1 of {builds.name} cannot be given runs: no worker of it asks for work" in told
            assert "SUREFOOT_BUILD_ID=v1" in told
            assert "or promote another" in told
            assert await routing(starter) == ("v2", None, 0)


async def test_a_build_that_has_all_new_runs_already_is_not_ramped(
    starter: Starter, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with builds("v1"):
        assert await current_after(starter, "promote", "v1") == "v1"
        monkeypatch.setattr("runtime.deployments.APPEAR_SECONDS", 0.0)
        refused = await starter("deploy", "ramp", "v1", "--percent", "10")
    assert refused.status == 2
    told = " ".join(refused.err.split())
    assert f"build v1 of {builds.name} is current, and gets all new runs that no ramp takes; ramp the build" in told


@pytest.mark.slow
async def test_a_build_is_given_runs_once_a_worker_of_it_is_there_again_and_a_dead_one_can_be_given_none(
    starter: Starter, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with v2_whose_v1_has_gone(starter, builds), builds("v1"):
        assert await current_after(starter, "ramp", "v1", "--percent", "50") == "v2"
    monkeypatch.setattr("runtime.deployments.APPEAR_SECONDS", 0.0)
    assert await current_after(starter, "ramp", "v1", "--percent", "0") == "v2"
    refused = await starter("deploy", "rollback")
    assert refused.status == 2
    assert f"build v2 of {builds.name} cannot be given runs" in " ".join(refused.err.split())
    assert await routing(starter) == ("v2", "v1", 0)


async def test_a_second_rollback_does_not_return_to_what_the_first_one_left(starter: Starter, builds: Builds) -> None:
    async with builds("v1"), builds("v2"):
        for build_id in ("v1", "v2"):
            assert await current_after(starter, "promote", build_id) == build_id
        assert await current_after(starter, "rollback") == "v1"
        refused = await starter("deploy", "rollback")
        assert refused.status == 2
        told = " ".join(refused.err.split())
        assert f"no build of {builds.name} was current before v1 was given runs; name one with `deploy promote`" in told
        assert await routing(starter) == ("v1", None, 0)


@pytest.mark.slow
async def test_rollbacks_go_back_build_by_build(starter: Starter, builds: Builds) -> None:
    async with builds("v1"), builds("v2"), builds("v3"):
        for build_id in ("v1", "v2", "v3"):
            assert await current_after(starter, "promote", build_id) == build_id
        assert await current_after(starter, "rollback") == "v2"
        assert await current_after(starter, "rollback") == "v1"
        assert await current_after(starter, "promote", "v3") == "v3"
        assert await current_after(starter, "rollback") == "v1", (
            "which was current before, not the one before in a list"
        )
