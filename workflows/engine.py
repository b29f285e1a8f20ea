"""Runs a plan: starts each step the moment its needs have settled, and settles it.

What a step of each kind does is in `steps/`, what its failure leads to in `failures.py`, how a run is taken back in
`undo.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.base import MAX_DEPTH, Json, nests_too_deep
    from contracts.decisions import Receipt, Repair
    from contracts.errors import CriteriaNotMet, ErrorInfo, OutputInvalid, StepError
    from contracts.incidents import MAX_TRIED
    from contracts.migration import Migration
    from contracts.model import Usage
    from contracts.run import IDLE, Definition, RunRequest, Snapshot, StepStatus
    from contracts.state import StateValue
    from language import expressions
    from language.schema import violations
    from workflows.effects import has_effects, remember
    from workflows.ends import Ending, Known
    from workflows.evaluating import Evaluating
    from workflows.ids import check_room
    from workflows.nodes import Node, Scope
    from workflows.pausing import Pausing
    from workflows.plan import Plan
    from workflows.record import Record
    from workflows.shares import Share
    from workflows.state import SharedState
    from workflows.tasks import Tasks
    from workflows.tries import tried

MAX_IN_FLIGHT = 500
"""Activities and child runs at once. The server fails a workflow task that would make it 2,000."""

Action = Callable[["Engine", Node], Awaitable[Json]]
OnFailure = Callable[["Engine", Node, StepError], Awaitable[bool]]
"""Deals with a step's failure; whether the step is to be tried once more."""


class Engine(Evaluating, Pausing):
    """One run's plan in motion. Everything that must outlive a continue-as-new is in the nodes' records."""

    def __init__(
        self,
        run: str,
        request: RunRequest,
        definition: Definition,
        actions: Mapping[str, Action],
        on_failure: OnFailure,
    ) -> None:
        snapshot = request.snapshot or Snapshot(
            started=workflow.info().start_time,
            accepted=workflow.info().workflow_start_time,
            records=(),
            completions=0,
        )
        Evaluating.__init__(self, run, request, definition)
        Pausing.__init__(self, snapshot.paused)
        self.started = snapshot.started
        self.accepted = snapshot.accepted or snapshot.started
        self.generation = snapshot.generation
        self.completions = snapshot.completions
        self.seen: dict[str, Receipt | StateValue] = dict(snapshot.seen)
        self.said = dict(snapshot.said)
        self.refused = snapshot.refused
        execution, process = workflow.info().first_execution_run_id, definition.process.process
        self.record = Record(run, execution, process, snapshot.record, self.origin)
        self.state = SharedState(definition.process.state, snapshot.state, self.record.state_written)
        records = {record.id: record for record in snapshot.records}
        self.plan = Plan(definition.process.steps, records, self.record.step_changed)
        self.active: set[Node] = set()
        self.waiting: dict[str, Node] = {}
        self.parked: dict[str, Node] = {}
        self.ending: Ending | None = None
        self.changes = 0
        self.messages = 0
        self.draining = False
        self.migration: Migration | None = None
        self.drainable = 0
        self.replanning: set[Scope] = set()
        self.shares: dict[Node, Share] = {}
        self.warned = set(snapshot.warned)
        self.remarks = snapshot.remarks
        self.usage = sum((record.usage for record in snapshot.records if record.usage), Usage())
        self._actions = actions
        self._on_failure = on_failure
        self.slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self.tasks = Tasks()

    # Starting and ending

    def begin(self, scope: Scope) -> None:
        """Start every step of a scope that waits for nothing, once more after the scope was halted."""
        scope.recount()
        self.launch_ready(scope)

    def launch_ready(self, scope: Scope) -> None:
        for node in list(scope.nodes.values()):
            self._try_launch(node)

    def end(self, ending: Ending) -> None:
        """Stop before the plan is through. The first reason stands."""
        if self.ending is None:
            self.ending = ending
            said = ending.error
            self.record.add("run.ending", by=ending.by, reason=said.message, error=said.type, undo=ending.undo)
        self.touch()

    async def stop(self) -> None:
        """Start nothing more; interrupt what can be; wait for effects on their way, which cannot."""
        self._interrupt(self.plan.root.nodes.values())
        await waiting.until(lambda: self.tasks.are_done or self.tasks.has_crashed)
        self.tasks.check()

    async def halt(self, scope: Scope) -> None:
        """Interrupt what goes on in a scope, and wait for effects on their way."""
        self._interrupt(scope.nodes.values())
        at_work = [inner for node in scope.nodes.values() for inner in (node, *node.all_inside())]
        tasks = [node.task for node in at_work if node.task is not None]
        await waiting.until(lambda: all(task.done() for task in tasks))

    def drop(self, node: Node) -> None:
        """Cancel a step that nobody waits for any more, and what is inside it. A write on its way completes."""
        tops = [node, node.fallback] if node.fallback is not None and not node.fallback.is_settled else [node]
        dropped = [each for top in tops for each in (top, *top.all_inside())]
        for each in dropped:
            each.dropped = True
        self._interrupt(tops)
        for each in dropped:
            if not each.is_settled and not each.is_at_work:
                self.settle(each, "cancelled")

    def _interrupt(self, nodes: Iterable[Node]) -> None:
        pending = list(nodes)
        while pending:
            node = pending.pop()
            pending.extend(node.inside())
            if node.task is not None and node.interruptible:
                node.task.cancel()

    def is_through(self) -> bool:
        """Whether every step has settled and no effect is on its way; or the run is to end."""
        self.tasks.check()
        return self.ending is not None or (self.plan.root.settled.is_set() and self.tasks.are_done)

    def touch(self) -> None:
        """Something changed that readers of the run want to see."""
        self.changes += 1

    # One step

    def _try_launch(self, node: Node) -> None:
        """Start a step if it can start and has not."""
        if node.is_settled or node.dropped or not node.is_ready or node.is_at_work:
            return
        if self.ending is not None or node.holder.failure is not None or node.holder in self.replanning:
            return
        self.spawn(node, self.perform(node))
        if node.step.cancel_rest and node.role == "step":
            for need in node.needs:
                if not need.is_settled:
                    self.drop(need)

    def spawn(self, node: Node, work: Coroutine[Any, Any, None]) -> None:
        """Do this as the node's task."""
        node.task = self.tasks.start(work, lambda: self._interrupted(node))

    def _interrupted(self, node: Node) -> None:
        self.leave(node)
        if node.dropped:
            self.settle(node, "cancelled")
        elif self.ending is not None:
            node.update(status="cancelled", ended=workflow.now())
        else:
            node.start_afresh()
        self.touch()

    async def perform(self, node: Node) -> None:
        """From the start of a step until it has settled, or its failure is its owner's."""
        error = Known(node.record.error) if node.record.error and node.record.status == "attention" else None
        while not node.is_settled:
            try:
                if error is not None:
                    raise error
                if node.record.status == "pending":
                    await self.let_start(node)
                    check_room(self.run, node)
                node.has_begun = True
                await self._attempt(node)
            except StepError as failed:
                error = None
                if not await self._on_failure(self, node, failed):
                    return

    async def _attempt(self, node: Node) -> None:
        if node.record.status == "pending" and self._is_skipped(node):
            self.settle(node, "skipped")
        elif node.fallback is not None and node.fallback.record.called:
            await self.fall_back(node, node.fallback, node.record.error)
        elif node.has_items:
            self.settle(node, "completed", output=await self._actions["for_each"](self, node))
        else:
            output = await self._actions["repeat" if node.has_rounds else node.action](self, node)
            if not node.is_settled:
                self._accept(node, output)

    def _is_skipped(self, node: Node) -> bool:
        if node.role == "round":
            return False
        if node.needs and all(need.record.status in IDLE for need in node.needs):
            return True
        condition = node.step.when
        is_of_items = node.step.for_each is not None
        if condition is None or (
            is_of_items and (node.role == "item") != expressions.mentions(condition, "item", "index")
        ):
            return False
        return not self.holds(node, condition)

    def _accept(self, node: Node, output: Json) -> None:
        try:
            self._check(node, output)
        except StepError:
            # What it did is to be taken back, whatever is thought of its output, or told to whoever has it done again.
            if has_effects(self.definition, node) and workflow.patched("unaccepted-is-undone"):
                remember(self, node, output, self.completions)
            raise
        self.settle(node, "completed", output=output)

    def _check(self, node: Node, output: Json) -> None:
        step = node.step
        if nests_too_deep(output) and workflow.patched("depth"):
            raise OutputInvalid(f"the output is nested more than {MAX_DEPTH} levels deep; flatten it")
        if step.output is not None and (wrong := violations(step.output, output)):
            raise OutputInvalid(f"the output does not fit the step's schema: {'; '.join(wrong)}", {"output": output})
        if step.success is not None and node.role != "round" and not self.holds(node, step.success, output=output):
            raise CriteriaNotMet(f"{step.success} does not hold of the output", {"output": output})

    def settle(
        self,
        node: Node,
        status: StepStatus,
        *,
        output: Json = None,
        error: ErrorInfo | None = None,
        by: str | None = None,
    ) -> None:
        """A step's end: what needs it can start."""
        self.leave(node)
        changes: dict[str, Any] = {"status": status, "output": output, "error": error, "ended": workflow.now()}
        if status == "completed":
            self.completions += 1
            changes["order"] = self.completions
        if by is not None:
            changes["by"] = by
        if node.is_leaf and not node.record.amended:  # What a person put there is kept, for a rerun.
            changes["input"] = None
        node.update(**changes)
        if node.record.tainted and node.holder.owner is not None:
            node.holder.owner.update(tainted=True)
        if node.stands_in_for is not None:
            node.done.set()
        if status != "completed":
            _close(node)
        for dependent in node.dependents:
            dependent.need_settled(node)
            self._try_launch(dependent)
        if node.fallback is not None and not node.fallback.record.called and not node.fallback.is_settled:
            self.settle(node.fallback, "skipped")
        self._count_off(node)
        self.touch()

    def _count_off(self, node: Node) -> None:
        """One part less for its holder to wait for. What holds a part that ended the run does not come to its end."""
        if self.ending is not None and node.record.status == "failed":
            return
        node.holder.unsettled -= 1
        if node.holder.unsettled == 0:
            node.holder.settled.set()

    async def inside(self, scope: Scope) -> None:
        """Wait until everything in a scope has settled.

        Raises:
            StepError: something in it failed so that its owner is to deal with it; what else went on has been halted.
        """
        await scope.until_settled()
        if scope.failure is not None:
            failure = scope.failure
            await self.halt(scope)
            raise Known(failure)

    async def fall_back(self, node: Node, fallback: Node, info: ErrorInfo | None, *, by: str | None = None) -> None:
        """Have another step run instead of one that failed; what needs the one gets the other's output. `by`: whoever
        said so, when the process does not."""
        node.update(status="running", error=info, **({"by": by} if by is not None else {}))
        fallback.update(called=True)
        self._try_launch(fallback)
        self.touch()
        if not fallback.is_settled:
            await fallback.done.wait()
        node.update(tainted=fallback.record.tainted)
        self.settle(node, "failed", output=fallback.record.output, error=info)

    async def park(self, node: Node, error: ErrorInfo) -> Repair:
        """Wait for an operator; the rest of the run goes on."""
        if node.record.status != "attention" or node.record.error != error:  # else it was parked when the run continued
            node.update(tried=(*node.record.tried, tried(node, error, workflow.now()))[-MAX_TRIED:])
        node.update(status="attention", error=error, ended=None)
        self.parked[node.id] = node
        self.touch()
        try:
            return await node.repairs.get()
        finally:
            del self.parked[node.id]
            self.touch()

    # Doing something

    @contextlib.asynccontextmanager
    async def working(self, node: Node, *, drains: bool = True) -> AsyncIterator[None]:
        """A place among the calls in flight. `drains`: continue-as-new waits for what is done in it."""
        async with self._place(node):
            if self.draining:
                await asyncio.Event().wait()  # The run continues as new, where this step is started again.
            node.update(status="running", started=node.record.started or workflow.now())
            self.active.add(node)
            self.drainable += drains
            self.touch()
            try:
                yield
            finally:
                self.drainable -= drains
                node.interruptible = True
                self.active.discard(node)

    @contextlib.asynccontextmanager
    async def _place(self, node: Node) -> AsyncIterator[None]:
        if node.role == "ask":  # The agent that asks has a place, and does nothing in it meanwhile.
            yield
            return
        await self.slots.acquire()
        while self.is_held(node):
            self.slots.release()
            await self.let_start(node)
            await self.slots.acquire()
        try:
            yield
        finally:
            self.slots.release()

    def await_outside(self, node: Node, **changes: Any) -> None:
        """From now on the step waits for people or time."""
        node.update(status="waiting", started=node.record.started or workflow.now(), **changes)
        self.waiting[node.id] = node
        self.touch()

    def leave(self, node: Node) -> None:
        self.active.discard(node)
        self.waiting.pop(node.id, None)

    # Continuing as new

    @property
    def is_drained(self) -> bool:
        return self.drainable == 0

    def snapshot(self) -> Snapshot:
        """Everything a fresh start of the same run needs, besides its request."""
        return Snapshot(
            started=self.started,
            accepted=self.accepted,
            records=tuple(self.plan.records()),
            completions=self.completions,
            seen=self.seen,
            said=self.said,
            state=self.state.entries,
            generation=self.generation + 1,
            warned=tuple(sorted(self.warned)),
            record=self.record.state(),
            undoing=self.record.is_undoing,
            paused=self.paused,
            remarks=self.remarks,
            refused=self.refused,
        )


def _close(node: Node) -> None:
    """Nothing more is started inside. A write on its way goes on to its own end, after which it can be taken back."""
    for inner in node.all_inside():
        if not inner.is_settled and not inner.is_at_work:
            inner.update(status="cancelled")
