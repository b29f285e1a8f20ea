"""Plays a schedule in a world of its own, and says which promises were broken."""

import asyncio
import contextlib
import functools
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from contracts.faults import Faults
from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE
from contracts.run import Definition, RunView
from language.load import load_process
from language.source import load_yaml
from runtime.catalog import Catalog
from tests.business import eventually
from tests.chaos.answers import bought_twice
from tests.chaos.evidence import Completed, gather, ledger, outcome
from tests.chaos.invariants import violations
from tests.chaos.line import Line, open_line
from tests.chaos.nursery import CONTINUE_AFTER, PROCESSES, Nursery
from tests.chaos.people import STAYS, People, within
from tests.chaos.schedule import Schedule, Shock, Start
from tests.chaos.world import World, open_world

STORM = 45.0
"""Seconds after which all that is broken is mended, if the runs have not ended by then."""
HEALED_WITHIN = 60.0
"""Seconds after that in which every run has ended."""


@dataclass
class Played:
    """`struck`: the runs that saw a fault, of `runs`, which were started; `views`: at the end, of those that came of
    them too."""

    schedule: Schedule
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    runs: list[str] = field(default_factory=list)
    struck: set[str] = field(default_factory=set)
    faults: list[tuple[str, str]] = field(default_factory=list)
    completed: list[Completed] = field(default_factory=list)
    views: Mapping[str, RunView] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """What all worlds share: workers to be born, a model endpoint's address, the sample processes."""

    nursery: Nursery
    endpoint: str
    catalog: Catalog

    def environment(self, schedule: Schedule, faults: Faults | None, line: Line | None = None) -> dict[str, str]:
        """Of a worker. The model's breaker is asked for often, so that a bad day of it does not outlast the test; nor
        does an answer that never comes through a bad line."""
        alias = {"model": "m", "base_url": self.endpoint, "answer_by": "schema", "probe_every": "1s"}
        alias |= {"base_url": line.url, "timeout": "8s"} if line is not None else {}
        made = {"SUREFOOT_MODELS": json.dumps({"default": alias}), PROCESSES: " ".join(sorted(schedule.processes))}
        made |= {CONTINUE_AFTER: f"{schedule.soon}"} if schedule.hasty else {}
        return made | ({"SUREFOOT_FAULTS": faults.model_dump_json()} if faults is not None else {})

    def request(self, start: Start) -> dict[str, Any]:
        """What starts it. What is regretted has one step more, after all others."""
        asked: dict[str, Any] = {"process": start.process, "input": start.input, "started_by": "user:hanna"}
        return asked | ({"definition": self._with_regret(start.process)} if start.verdict == "regret" else {})

    def _with_regret(self, process: str) -> Definition:
        file = self.catalog.files[process]
        source = load_yaml(file.read_text(), file.name).data
        asks = {"title": "Is it to stay?", "from": [{"any_of": ["user:tom"]}]}
        source["steps"][STAYS] = {"needs": [*source["steps"]], "approval": asks}
        return load_process(json.dumps(source), file.name, tools=self.catalog.specs, processes=self.catalog.names)


async def play(
    stage: Stage, schedule: Schedule, home: Path, planted: str | None = None, awaited: Iterable[str] = ()
) -> Played:
    """`planted`: the bug of its workers. `awaited`: runs that come of those that are started."""
    played = Played(schedule, runs=[start.run for start in schedule.starts])
    began = time.monotonic()
    async with (
        _line(stage, schedule) as line,
        open_world(home, stage.nursery, stage.environment(schedule, schedule.faults, line), planted) as world,
    ):
        client = await world.client()
        verdicts = {start.run: start.verdict for start in schedule.starts}
        seen = functools.partial(outcome, home)
        people = People(client, seen, verdicts, hurried=schedule.hurried, kill=world.kill_worker)
        for start in schedule.starts:
            await _start(client, start.run, stage.request(start))
        shocks = asyncio.create_task(_shocks(world, schedule.shocks, people, played))
        attending = asyncio.create_task(people.attend([*played.runs, *awaited]))
        await asyncio.wait([attending], timeout=STORM)
        await _end(shocks)
        if not attending.done():
            await world.replace_workers(stage.environment(schedule, None))
        have_ended = await within(HEALED_WITHIN, attending)
        await world.client()  # a server that was killed as the last run ended is to tell of it all the same
        stuck = [] if have_ended else await _stuck(client, people, [*played.runs, *awaited])
        played.faults = world.faults()
        if line is not None:
            played.faults += [(f"line.{fault}", line.url) for fault in line.faults]
        played.struck |= {run for run in played.runs for _, place in played.faults if place.startswith(f"{run}/")}
        played.broken += [*stuck, *people.broken]
        if not stuck:  # else what goes on meanwhile is in the histories, and not yet in the ledger that was read
            evidence = await gather(client, home, people, stage.catalog)
            played.completed, played.views = evidence.completed, evidence.views
            played.broken += await violations(evidence)
        if all(shock.blow != "worker stopped" for shock in schedule.shocks):
            played.broken += bought_twice(home)
    played.seconds = time.monotonic() - began
    return played


@contextlib.asynccontextmanager
async def _line(stage: Stage, schedule: Schedule) -> AsyncIterator[Line | None]:
    if not schedule.bad_line:
        yield None
        return
    async with open_line(stage.endpoint, schedule.seed) as line:
        yield line


async def _start(client: Client, run: str, request: dict[str, Any]) -> None:
    """Started once, however often it is tried: what the server accepted is there."""

    async def accepted() -> bool:
        try:
            await client.start_workflow(PROCESS_WORKFLOW, request, id=run, task_queue=TASK_QUEUE)
        except WorkflowAlreadyStartedError:
            return True
        except RPCError:
            return False
        return True

    await eventually(accepted, bool)


async def _shocks(world: World, shocks: tuple[Shock, ...], people: People, played: Played) -> None:
    for shock in sorted(shocks, key=lambda each: each.effects):
        while len(ledger(world.home)) < shock.effects:
            await asyncio.sleep(0.2)
        played.struck |= {run for run in played.runs if run not in people.ended}
        if shock.blow in ("server killed", "both killed"):
            world.kill_server()
        if shock.blow in ("worker killed", "both killed"):
            world.kill_worker()
        if shock.blow == "worker stopped":
            await world.stop_for_a_while()
        if shock.blow == "workers drained":
            await world.drain_workers()


async def _end(task: "asyncio.Task[Any]") -> None:
    """A blow that was not struck by now is not struck any more."""
    task.cancel()
    await asyncio.wait([task])


async def _stuck(client: Client, people: People, runs: list[str]) -> list[str]:
    """Runs that have not ended, with what holds them up. Those that have are seen yet, however late people look."""
    found: list[str] = []
    async for run in client.list_workflows("WorkflowType = 'Process' AND ExecutionStatus = 'Running'"):
        described = await client.get_workflow_handle(run.id).describe()
        pending = [
            f"{each.activity_id} attempt {each.attempt}: {each.last_failure.message}"
            for each in described.raw_description.pending_activities
        ]
        waits = await people.look(run.id)
        late = f"{run.id} has not ended {HEALED_WITHIN:.0f} s after all was mended"
        found.append(f"{late}; {waits}; pending: {pending}; the machine's load is {os.getloadavg()[0]:.0f}")
    if found or await within(HEALED_WITHIN, people.attend(runs)):
        return found
    unseen = sorted({*runs, *people.seen} - people.ended.keys())
    return [f"{run} has ended, and was not seen to: {await people.look(run)}" for run in unseen]


def report(played: Played) -> str:
    lines = [str(played.schedule), *(f"  made: {fault} {place}" for fault, place in played.faults)]
    lines += [f"  BROKEN: {each}" for each in played.broken]
    return "\n".join(lines)
