"""A process on trial: the real worker with a folder of processes, on a server of its own on which days pass at once."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from uuid_utils import uuid7

from contracts.base import Json, parse_duration
from contracts.decisions import Receipt
from contracts.events import PublishEvent
from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, REPAIR, VIEW_QUERY
from contracts.process import PLANNER
from contracts.run import RunRequest, RunResult, RunView, StepView
from runtime.settings import Settings
from runtime.topics import Topics
from testkit.histories import replay_history
from testkit.recording import Called, Recorder
from testkit.scripts import Script, ScriptedCatalog

PATIENCE = 60.0
"""Seconds of real time in which a run comes to what a test waits for."""


@dataclass
class Trial:
    """One worker and what it is given. `process`: the one that `start` starts, unless told otherwise."""

    process: str
    _environment: WorkflowEnvironment
    _settings: Settings
    _catalog: ScriptedCatalog
    _recorder: Recorder

    async def start(
        self, data: Json = None, *, process: str | None = None, started_by: str = "user:starter", run: str | None = None
    ) -> "TrialRun":
        """A run with this input, as `run`, of this process or of another beside it.

        Raises:
            UnknownProcess: there is none of this name.
        """
        name = process or self.process
        self._catalog.definition(name)  # a name of nothing is told here, and not in the worker's log alone
        request = RunRequest(process=name, input=data, started_by=started_by)
        handle = await self._environment.client.start_workflow(
            PROCESS_WORKFLOW,
            request,
            id=run or f"{name}-{uuid7()}",
            task_queue=self._settings.task_queue,
            result_type=RunResult,
        )
        return TrialRun(self, handle)

    def run(self, run: str) -> "TrialRun":
        """One that was started by something else: an event, or another run."""
        return TrialRun(self, self._environment.client.get_workflow_handle(run, result_type=RunResult))

    # What agents and tools do

    def says(self, agent: str, answer: Json) -> None:
        """The agent's next turn: its answer. `${ }` may use `context`, `task` and `results` as in a rehearsal.

        Args:
            agent: of the process on trial, or `PROCESS/AGENT` of one beside it.

        Raises:
            LookupError: there is no such agent.
            UnknownProcess: there is no such process.
        """
        self._scripted(agent, {"answer": answer})

    def asks_for(self, agent: str, tool: str, **arguments: Json) -> None:
        """The agent's next turn: a call of a tool, which need not exist: models ask for such too.

        Raises:
            LookupError: there is no such agent, as above.
            UnknownProcess: there is no such process.
        """
        self._scripted(agent, {"call": [{"tool": tool, "with": arguments}]})

    def fake(self, tools: str, returns: Json | Callable[..., Json] = None, fails: Sequence[str] = ()) -> None:
        """A fake instead of each of these tools: `bank.transfer`, `bank.*`.

        Args:
            returns: a value, or a function of the arguments; by default the least that fits the tool's schema.
            fails: what it says in its first attempts, one each, before it works.

        Raises:
            LookupError: no tool has such a name.
        """
        for name in self._named(tools):
            self._recorder.fake(self._catalog.specs[name], returns, fails)

    def calls(self, tools: str = "*") -> list[Called]:
        """Every attempt of a call so far, in order.

        Raises:
            LookupError: no tool has such a name.
        """
        named = self._named(tools)
        return [call for call in self._recorder.calls if call.tool in named]

    def effects(self, tools: str = "*") -> list[Called]:
        """Every call so far that changed something, once each, in order.

        Raises:
            LookupError: no tool has such a name.
        """
        named = self._named(tools)
        return [call for call in self._recorder.effects.values() if call.tool in named]

    # What happens outside

    async def skip(self, duration: str | timedelta) -> None:
        """Let `3d` pass at once."""
        await self._environment.sleep(parse_duration(duration))

    async def publish(self, topic: str, data: Json, *, event: str | None = None) -> None:
        """`event`: its id; the same one again is the same event."""
        published = PublishEvent(id=event or f"{uuid7()}", topic=topic, data=data)
        await Topics(self._environment.client, self._settings.task_queue).publish(published)

    def _named(self, tools: str) -> set[str]:
        """Raises:
        LookupError: no tool has such a name, so that what is asked about it would hold of anything.
        """
        there = self._catalog.specs
        named = {name for name in there if fnmatchcase(name, tools)}
        if not named and tools != "*":
            raise LookupError(f"there is no tool {tools!r}; there are {', '.join(sorted(there)) or 'none'}")
        return named

    def _scripted(self, agent: str, reply: dict[str, Json]) -> None:
        beside, _, name = agent.rpartition("/")
        process = beside or self.process
        there = {*self._catalog.definition(process).process.agents, PLANNER}
        if name not in there:
            raise LookupError(
                f"there is no agent {name!r} in {process}; there are {', '.join(sorted(there))}, and of a process "
                "beside it PROCESS/AGENT"
            )
        scripts = self._catalog.scripts
        if process not in scripts:
            original = self._catalog.rehearsal(process)
            scripts[process] = Script(self._settings.home / f"{process}-script.yaml", original)
        scripts[process].add(name, reply)


@dataclass
class TrialRun:
    """One run: what people say to it, and what they see of it."""

    trial: Trial
    handle: WorkflowHandle[Any, RunResult]

    @property
    def id(self) -> str:
        return self.handle.id

    async def view(self) -> RunView:
        seen: RunView = await self.handle.query(VIEW_QUERY, result_type=RunView)
        return seen

    async def until(
        self, holds: Callable[[RunView], bool], what: str = "what the test waits for", patience: float | None = None
    ) -> RunView:
        """The first view of which this holds, within `patience` seconds of real time.

        Raises:
            AssertionError: it does not come to that; with where the run stands, or why it did not begin.
        """
        seen: RunView | None = None
        try:
            async with asyncio.timeout(patience or PATIENCE):
                while seen is None or not holds(seen):
                    seen = await self._view_when_loaded()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{self.id} did not come to {what}; {_where(seen)}") from None
        return seen

    async def waits_for(self, step: str) -> RunView:
        """The run asks people, or waits for an event or for time, at this step."""
        return await self.until(lambda view: any(wait.step == step for wait in view.waiting), f"wait at {step}")

    async def parks(self, step: str) -> RunView:
        """The step has become an incident."""
        return await self.until(lambda view: any(each.step == step for each in view.incidents), f"park {step}")

    async def ended(self) -> RunView:
        """The run at its end, whichever that is."""
        return await self.until(lambda view: view.ended is not None, "its end")

    async def step(self, step: str) -> StepView:
        """Raises:
        LookupError: the run has no such step.
        """
        there = {found.id: found for found in (await self.view()).steps}
        if step not in there:
            raise LookupError(f"{self.id} has no step {step!r}; there are {', '.join(there)}")
        return there[step]

    async def approve(self, step: str, by: str, **more: Json) -> Receipt:
        """As soon as it is asked, of what is asked then. `more`: `comment`, `edits`, `hash`, `id`."""
        return await self._vote(step, {"decision": "approve", "by": by, **more})

    async def reject(self, step: str, by: str, comment: str, **more: Json) -> Receipt:
        return await self._vote(step, {"decision": "reject", "by": by, "comment": comment, **more})

    async def _vote(self, step: str, said: Mapping[str, Json]) -> Receipt:
        seen = await self.waits_for(step)
        asked = next(wait for wait in seen.waiting if wait.step == step)
        return await self.say(DECIDE, {"step": step, "hash": asked.hash, **said})

    async def repair(self, step: str, action: str, by: str, **more: Json) -> Receipt:
        """`retry`, `amend`, `skip`, `complete`, `abort`, once the step is parked; `more`: `value`, `reason`."""
        await self.parks(step)
        return await self.say(REPAIR, {"step": step, "action": action, "by": by, **more})

    async def cancel(self, by: str, **more: Json) -> Receipt:
        return await self.say(CANCEL, {"by": by, **more})

    async def say(self, update: str, payload: Mapping[str, Json]) -> Receipt:
        """Raises:
        WorkflowUpdateFailedError: refused; its cause and a note say why.
        """
        try:
            receipt: Receipt = await self.handle.execute_update(update, payload, result_type=Receipt)
        except WorkflowUpdateFailedError as error:
            error.add_note(str(error.cause))  # so that a test that fails of it says why
            raise
        return receipt

    async def record(self, file: Path) -> None:
        """Keep the run's history, for `replay` in a test of later code."""
        text = (await self._history()).to_json()
        await asyncio.to_thread(file.write_text, text)

    async def _history(self) -> WorkflowHistory:
        history = await self.handle.fetch_history()
        # The time-skipping server leaves the id out, of which those of agents' runs are made.
        history.events[0].workflow_execution_started_event_attributes.workflow_id = self.id
        return history

    async def replays(self) -> None:
        """Replay what the run did so far on the code of now.

        Raises:
            AssertionError: it goes another way.
        """
        await replay_history(await self._history(), self.id)

    async def _view_when_loaded(self) -> RunView | None:
        """Raises:
        AssertionError: it ended before it began; why.
        """
        try:
            return await self.view()
        except RPCError:
            return None
        except WorkflowQueryFailedError:
            if (await self.handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                return None
        try:
            return await self.view()  # it had begun, and has ended since
        except WorkflowQueryFailedError as error:
            raise AssertionError(f"{self.id} did not begin: {error}") from None


def _where(view: RunView | None) -> str:
    if view is None:
        return "it has not begun"
    steps = ", ".join(f"{step.id} {step.status}" for step in view.steps)
    said = [f"{each.step}: {each.error.message}" for each in view.incidents]
    return f"it is {view.status}: {steps}" + (f"; incidents: {'; '.join(said)}" if said else "")
