"""`starter.py deploy`: the builds of the workers, and which of them gets new runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rich.table import Column, Table
from rich.text import Text

from cli.connection import connected
from cli.migrate import move_to_release
from cli.output import Exit, Output, command
from cli.values import actor_of
from contracts.errors import CallerError
from contracts.names import PROCESS_WORKFLOW
from runtime.deployments import Deployments, Release, Releases
from runtime.settings import load_settings

Action = Literal["status", "ramp", "promote", "rollback", "drain"]

MOST_SHOWN = 1_000
"""Runs of a build that are moved or named at a time."""
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Order:
    """What is asked for. `build`: of ramp, promote and drain; `percent`: of ramp; `move` and `wait`: of drain."""

    action: Action
    build: str | None = None
    percent: float | None = None
    move: bool = False
    wait: bool = False

    def check(self) -> None:
        """Raises:
        CallerError: what is asked for does not go together.
        """
        needs_build = self.action in ("ramp", "promote", "drain")
        if needs_build != (self.build is not None):
            raise CallerError(
                f"say which build to {self.action}; `deploy status` shows them"
                if needs_build
                else f"{self.action} takes no build; leave {self.build} out"
            )
        if (self.action == "ramp") != (self.percent is not None):
            raise CallerError(
                "ramp needs --percent N, the share of new runs that the build gets"
                if self.action == "ramp"
                else f"--percent goes with ramp, not {self.action}"
            )
        if (self.move or self.wait) and self.action != "drain":
            raise CallerError(f"--move and --wait go with drain, not {self.action}")


async def deploy(output: Output, order: Order, by: str | None) -> Exit:
    order.check()
    settings = load_settings()
    if settings.deployment is None:
        raise CallerError(
            "no deployment is named, so that workers are no releases; set SUREFOOT_DEPLOYMENT to the name that the "
            "workers have"
        )
    actor = actor_of(by, settings)
    async with connected(settings) as connection:
        deployments = Deployments(connection.client, settings.deployment, actor)
        match order.action:
            case "ramp":
                await deployments.ramp(order.build or "", order.percent or 0)
            case "promote":
                await deployments.promote(order.build or "")
            case "rollback":
                output.say(f"new runs go to {await deployments.rollback()} again")
            case "drain":
                return await _drain(output, deployments, order)
            case "status":
                pass
        found = await deployments.look()
    output.show(_table(found.releases), found.model_dump(mode="json"))
    return Exit.HOLDS


async def _drain(output: Output, deployments: Deployments, order: Order) -> Exit:
    """What is still on a build that gets no new runs; moved or waited for where that is asked for."""
    build = order.build or ""
    release = _known(await deployments.look(), build)
    if release.status in ("current", "ramping"):
        raise CallerError(
            f"build {build} is {release.status}, and gets new runs; promote another first, or `deploy rollback`"
        )
    moved: set[str] = set()
    if order.move:
        for run in await deployments.open_runs(build, PROCESS_WORKFLOW, MOST_SHOWN):
            is_moved, outcome = await move_to_release(deployments.client, run, deployments.by)
            moved |= {run} if is_moved else set()
            output.say(outcome)
    while order.wait and release.status != "drained":
        await asyncio.sleep(LOOK_SECONDS)
        release = _known(await deployments.look(), build)
    # The index may not know yet of those that were moved just now.
    open_runs = await deployments.open_runs(build, PROCESS_WORKFLOW, MOST_SHOWN)
    left = [run for run in open_runs if run not in moved]
    if output.as_json:
        output.document({"build_id": build, "status": release.status, "open": release.open, "runs": left})
    else:
        lines = [*_left(build, release, len(left)), *(f"  {run}" for run in left)]
        output.out.print(Text("\n".join(lines)), soft_wrap=True)  # A command that is broken in two cannot be copied.
    return Exit.HOLDS


def _left(build: str, release: Release, runs: int) -> list[str]:
    if release.status == "drained":
        return [f"build {build} is drained: its workers can be stopped"]
    if not runs:
        return [f"build {build} is {release.status}: no run is on it any more; the server looks every few minutes"]
    return [
        f"build {build} is {release.status}: it is drained when what is on it has ended;",
        f"those that wait go on with the current build by `{command('deploy', 'drain', build, '--move')}`",
    ]


def _known(found: Releases, build: str) -> Release:
    if (release := found.get(build)) is None:
        known = ", ".join(each.build_id for each in found.releases)
        raise CallerError(f"deployment {found.deployment} has no build {build}; it has {known or 'none'}")
    return release


def _table(releases: Sequence[Release]) -> Table:
    table = Table(
        Column("build", no_wrap=True),
        Column("status", no_wrap=True),
        Column("new runs", justify="right"),
        Column("open", justify="right"),
        Column("first seen", no_wrap=True),
        Column("last current", no_wrap=True),
        box=None,
        header_style="faint",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for release in releases:
        table.add_row(
            Text(release.build_id),
            Text(release.status),
            f"{release.percent:g} %",
            str(release.open),
            _time(release.created),
            _time(release.was_current),
        )
    return table


def _time(at: datetime | None) -> str:
    return at.astimezone().strftime("%m-%d %H:%M") if at else ""
