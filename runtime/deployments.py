"""The releases of a worker deployment as the server knows them, and which of them gets new runs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import Field
from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import RoutingConfigUpdateState, WorkerDeploymentVersionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Contract
from contracts.errors import CallerError
from contracts.names import TOPIC_WORKFLOW
from runtime.polling import build_polls

APPEAR_SECONDS = 20.0
"""That a release which has just been started is waited for."""
LOOK_SECONDS = 0.5

_TOO_EARLY = (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.CANCELLED)
"""The last one: a busy server gave up asking its own workflow of the deployment."""

Status = Literal["current", "ramping", "draining", "drained", "inactive"]


class Release(Contract):
    """One build of the workers. `draining`: it gets no new runs, and has some; `drained`: its workers can be stopped.

    `open`: runs and agents that are on it, as the server's index has it; topics, which leave it by themselves, are not
    counted. `given_runs`: when it was first given new runs, by a ramp too; `was_current`: when it last became
    current.
    """

    build_id: str
    status: Status
    percent: float = Field(default=0, description="of new runs that it gets")
    open: int = 0
    created: datetime
    given_runs: datetime | None = None
    was_current: datetime | None = None


class Releases(Contract):
    """A deployment. `current`: the build of all new runs but `percent` of them, which `ramping` gets."""

    deployment: str
    current: str | None = None
    ramping: str | None = None
    percent: float = 0
    releases: tuple[Release, ...]

    def get(self, build_id: str) -> Release | None:
        return next((release for release in self.releases if release.build_id == build_id), None)


@dataclass(frozen=True)
class Deployments:
    """One deployment's releases. `by`: who changes something, for the server's own record."""

    client: Client
    name: str
    by: str

    async def look(self) -> Releases:
        """Raises:
        CallerError: no worker of this deployment has ever asked for work.
        """
        try:
            info, _ = await self._describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
                raise CallerError(
                    f"no worker of deployment {self.name!r} has asked for work in namespace {self.client.namespace!r} "
                    f"yet; start one with SUREFOOT_DEPLOYMENT={self.name}"
                ) from error
            raise
        routing = info.routing_config
        current = routing.current_deployment_version.build_id or None
        ramping = routing.ramping_deployment_version.build_id or None
        percent = round(routing.ramping_version_percentage, 2)
        releases = [
            await self._release(summary, current, ramping, percent)
            for summary in sorted(info.version_summaries, key=lambda each: each.create_time.ToNanoseconds())
        ]
        return Releases(
            deployment=self.name, current=current, ramping=ramping, percent=percent, releases=tuple(releases)
        )

    async def promote(self, build_id: str) -> None:
        """New runs go to this build from now on.

        Raises:
            CallerError: no worker of it asks for work.
        """
        await self._set(build_id, lambda token: self._set_current(build_id, token))

    async def ramp(self, build_id: str, percent: float) -> None:
        """This share of new runs goes to this build, the others to the current one. 0 also when it has no workers.

        Raises:
            CallerError: it is the current one; no worker of it asks for work.
        """
        await self._set(build_id, lambda token: self._set_ramping(build_id, percent, token), needs_workers=percent > 0)

    async def rollback(self) -> str:
        """The build that all new runs go to again: the current one after a ramp, else the one that was current before.

        Only a build that was given runs before the present one ever was: what was gone back from is not gone back to.

        Raises:
            CallerError: there is none to go back to; no worker of it asks for work.
        """
        found = await self.look()
        if found.ramping is not None:
            await self._set(
                found.current or "",
                lambda token: self._set_ramping("", 0, token),
                needs_workers=found.current is not None,
            )
            return found.current or "workers without a release"
        if (last := _before(found)) is None:
            raise CallerError(
                f"there is nothing to go back to: no build of {self.name} was current before "
                f"{found.current or 'this'} was given runs; name one with `deploy promote`"
            )
        await self.promote(last.build_id)
        return last.build_id

    async def open_runs(self, build_id: str, kind: str, limit: int) -> list[str]:
        """Workflows of a type that are on a build, by the server's index, which may be a moment behind."""
        query = f"{self._on(build_id)} AND WorkflowType = '{kind}'"
        return [found.id async for found in self.client.list_workflows(query, limit=limit)]

    async def _release(
        self,
        summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary,
        current: str | None,
        ramping: str | None,
        percent: float,
    ) -> Release:
        build_id = summary.deployment_version.build_id
        is_current, is_ramping = build_id == current, build_id == ramping
        share = percent if is_ramping else 100 - percent if is_current else 0
        query = f"{self._on(build_id)} AND WorkflowType != '{TOPIC_WORKFLOW}'"
        return Release(
            build_id=build_id,
            status="current" if is_current else "ramping" if is_ramping else _status(summary.status),
            percent=share,
            open=(await self.client.count_workflows(query)).count,
            created=summary.create_time.ToDatetime(tzinfo=UTC),
            given_runs=_moment(summary.first_activation_time),
            was_current=_moment(summary.last_current_time),
        )

    def _on(self, build_id: str) -> str:
        return f"TemporalWorkerDeploymentVersion = '{self.name}:{build_id}' AND ExecutionStatus = 'Running'"

    async def _describe(self) -> tuple[WorkerDeploymentInfo, bytes]:
        request = DescribeWorkerDeploymentRequest(namespace=self.client.namespace, deployment_name=self.name)
        answer = await self.client.workflow_service.describe_worker_deployment(request)
        return answer.worker_deployment_info, answer.conflict_token

    async def _set(
        self, build_id: str, change: Callable[[bytes], Awaitable[None]], *, needs_workers: bool = True
    ) -> None:
        """Change the routing once workers of this build ask for work, unless somebody else changes it meanwhile.

        The server itself only wants to have seen one, however long ago.
        """
        end = asyncio.get_running_loop().time() + APPEAR_SECONDS
        while True:
            try:
                _, token = await self._describe()
                if not needs_workers or await build_polls(self.client, self.name, build_id):
                    await change(token)
                    return await self._until_known_everywhere()
                why = "no worker of it asks for work"
            except RPCError as error:
                if error.status not in _TOO_EARLY or "amespace" in error.message:
                    raise
                why = error.message
            if asyncio.get_running_loop().time() > end:
                raise CallerError(
                    f"build {build_id} of {self.name} cannot be given runs: {why}; start a worker with that code, "
                    f"SUREFOOT_BUILD_ID={build_id} and the task queue of the others, or promote another build; "
                    "`deploy status` shows those that are known"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def _until_known_everywhere(self) -> None:
        """The server tells its task queues one after the other; until then new runs may go where they went before."""
        in_progress = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS
        end = asyncio.get_running_loop().time() + APPEAR_SECONDS
        while asyncio.get_running_loop().time() < end:
            info, _ = await self._describe()
            if info.routing_config_update_state != in_progress:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _set_current(self, build_id: str, token: bytes) -> None:
        await self.client.workflow_service.set_worker_deployment_current_version(
            SetWorkerDeploymentCurrentVersionRequest(
                namespace=self.client.namespace,
                deployment_name=self.name,
                build_id=build_id,
                conflict_token=token,
                identity=self.by,
            )
        )

    async def _set_ramping(self, build_id: str, percent: float, token: bytes) -> None:
        info, _ = await self._describe()
        if info.routing_config.current_deployment_version.build_id == build_id:
            raise CallerError(
                f"build {build_id} of {self.name} is current, and gets all new runs that no ramp takes; ramp the build "
                "that is to follow it, or `deploy rollback` to end a ramp"
            )
        await self.client.workflow_service.set_worker_deployment_ramping_version(
            SetWorkerDeploymentRampingVersionRequest(
                namespace=self.client.namespace,
                deployment_name=self.name,
                build_id=build_id,
                percentage=percent,
                conflict_token=token,
                identity=self.by,
            )
        )


def _before(found: Releases) -> Release | None:
    """What a rollback goes back to: the last to become current of those that were given runs before the present one."""
    present = found.get(found.current) if found.current else None
    before = [
        release
        for release in found.releases
        if release.was_current and (present is None or _began(release) < _began(present))
    ]
    return max(before, key=lambda release: (release.was_current or release.created, release.created), default=None)


def _began(release: Release) -> datetime:
    return release.given_runs or release.created


def _status(status: WorkerDeploymentVersionStatus.ValueType) -> Status:
    name = WorkerDeploymentVersionStatus.Name(status).removeprefix("WORKER_DEPLOYMENT_VERSION_STATUS_").lower()
    return cast("Status", name) if name in ("current", "ramping", "draining", "drained") else "inactive"


def _moment(time: Timestamp) -> datetime | None:
    return time.ToDatetime(tzinfo=UTC) if time.seconds else None
