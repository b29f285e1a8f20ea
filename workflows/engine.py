"""Runs a plan: starts each step the moment its needs have settled, and settles it.

What a step of each kind does is in `steps.py`, how a run is taken back in `undo.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.decisions import Receipt, Repair
    from contracts.errors import Cancelled, CriteriaNotMet, ErrorInfo, OutcomeUnknown, OutputInvalid, StepError
    from contracts.run import Definition, RunRequest, Snapshot, StepStatus
    from language import expressions
    from language.schema import violations
    from workflows.plan import Node, Plan, Scope

MAX_IN_FLIGHT = 500
"""Activities and child runs at once. The server fails a workflow task that would make it 2,000."""

MAX_ITEMS = 10_000
"""Items of one `for_each`."""

_AFRESH: dict[str, Any] = {"status": "pending", "error": None, "started": None, "until": None}
"""What a repair changes in a step that starts once more: its deadline and its waits begin again."""

Action = Callable[["Engine", Node], Awaitable[Json]]


@dataclass(frozen=True)
class Ending:
    """Why a run stops before its plan is through, and whether its effects are taken back."""

    status: Literal["failed", "cancelled"]
    error: ErrorInfo
    undo: bool = True


class Engine:
    """One run's plan in motion. Everything that must outlive a continue-as-new is in the nodes' records."""

    def __init__(self, run: str, request: RunRequest, definition: Definition, actions: Mapping[str, Action]) -> None:
        snapshot = request.snapshot or Snapshot(started=workflow.now(), records=(), completions=0)
        self.run = run
        self.request = request
        self.definition = definition
        self.started = snapshot.started
        self.generation = snapshot.generation
        self.completions = snapshot.completions
        self.seen: dict[str, Receipt] = dict(snapshot.seen)
        self.plan = Plan(definition.process.steps, {record.id: record for record in snapshot.records})
        self.active: set[Node] = set()
        self.waiting: dict[str, Node] = {}
        self.parked: dict[str, Node] = {}
        self.ending: Ending | None = None
        self.crash: BaseException | None = None
        self.changes = 0
        self.draining = False
        self.drainable = 0
        self._actions = actions
        self.slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._facts = {
            "input": request.input,
            "run": {"id": run, "process": request.process, "started_by": request.started_by},
        }

    # Starting and ending

    def begin(self, scope: Scope) -> None:
        """Start every step of a scope that waits for nothing."""
        for node in scope.nodes.values():
            if node.record.status == "cancelled":
                node.update(status="pending")
            if not node.is_settled and node.missing == 0:
                self._launch(node)

    def end(self, ending: Ending) -> None:
        """Stop before the plan is through. The first reason stands."""
        self.ending = self.ending or ending
        self.touch()

    async def stop(self) -> None:
        """Start nothing more; interrupt what can be; wait for effects on their way, which cannot."""
        self.interrupt(self.plan.root)
        await workflow.wait_condition(lambda: not self._tasks or self.crash is not None)
        self.check()

    def interrupt(self, scope: Scope) -> None:
        nodes = list(scope.nodes.values())
        while nodes:
            node = nodes.pop()
            nodes.extend(node.inside())
            if node.task is not None and node.interruptible:
                node.task.cancel()

    def check(self) -> None:
        """Raises what went wrong in the engine itself, so that the workflow task fails and is tried again."""
        if self.crash is not None:
            raise self.crash

    def watch(self, task: asyncio.Task[None]) -> None:
        """Notice what goes wrong in a task that nobody awaits."""
        task.add_done_callback(self._ended)

    def touch(self) -> None:
        """Something changed that readers of the run want to see."""
        self.changes += 1

    # Expressions

    def evaluate(self, node: Node, value: Json, **names: Json) -> Json:
        return expressions.evaluate(value, self._names(node.scope, names), lambda name: _look_up(node.scope, name))

    def holds(self, node: Node, condition: str | bool, **names: Json) -> bool:
        return expressions.truth(condition, self._names(node.scope, names), lambda name: _look_up(node.scope, name))

    def evaluate_output(self) -> Json:
        root = self.plan.root
        return expressions.evaluate(
            self.definition.process.output, self._names(root, {}), lambda name: _look_up(root, name)
        )

    def _names(self, scope: Scope, names: Mapping[str, Json]) -> dict[str, Any]:
        return {**self._facts, **scope.visible_names(), **names}

    # One step

    def _launch(self, node: Node) -> None:
        if self.ending is None:
            self._spawn(node, self._perform(node))

    def _spawn(self, node: Node, work: Awaitable[None]) -> None:
        async def watched() -> None:
            try:
                await work
            except asyncio.CancelledError:
                self._leave(node)
                node.update(status="cancelled", ended=workflow.now())
                node.done.set()
                self.touch()

        node.done.clear()
        node.task = asyncio.create_task(watched())
        self._tasks.add(node.task)
        node.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.crash = error

    async def _perform(self, node: Node) -> None:
        parked_with = node.record.error if node.record.status == "attention" else None
        while not node.is_settled:
            try:
                if parked_with is not None:
                    raise _Parked(parked_with)
                await self._attempt(node)
            except StepError as error:
                parked_with = None
                await self._failed(node, error)

    async def _attempt(self, node: Node) -> None:
        step = node.step
        if node.record.status == "pending" and self._is_skipped(node):
            self.settle(node, "skipped")
        elif step.for_each is not None and not node.is_item:
            await self._each(node)
        else:
            output = await self._actions[step.kind](self, node)
            if not node.is_settled:
                self._accept(node, output)

    def _is_skipped(self, node: Node) -> bool:
        if node.needs and all(need.record.status == "skipped" for need in node.needs):
            return True
        condition = node.step.when
        if condition is None or (node.step.for_each is not None and node.is_item != _is_about_items(condition)):
            return False
        return not self.holds(node, condition)

    async def _each(self, node: Node) -> None:
        items = node.record.input
        if items is None:
            items = self.evaluate(node, list(each) if isinstance(each := node.step.for_each, tuple) else each)
            if not isinstance(items, list):
                raise StepError(f"for_each needs a list; {node.step.for_each} gives {expressions.as_text(items)[:200]}")
            if len(items) > MAX_ITEMS:
                raise StepError(f"for_each over {len(items)} items; at most {MAX_ITEMS} are run, split the list")
        node.update(status="running", input=items, started=node.record.started or workflow.now())
        self.touch()
        gate = asyncio.Semaphore(node.step.parallel or max(1, len(items)))
        if not node.items:
            for index, item in enumerate(items):
                self.plan.open_item(node, index, item)
        for item_node in node.items:
            if not item_node.is_settled:
                self._spawn(item_node, self._item(item_node, gate))
        for item_node in node.items:
            await item_node.done.wait() if not item_node.is_settled else None
        self.settle(node, "completed", output=[item_node.record.output for item_node in node.items])

    async def _item(self, node: Node, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._perform(node)

    def _accept(self, node: Node, output: Json) -> None:
        if node.step.output is not None and (wrong := violations(node.step.output, output)):
            raise OutputInvalid(f"the output does not fit the step's schema: {'; '.join(wrong)}", {"output": output})
        if node.step.success is not None and not self.holds(node, node.step.success, output=output):
            raise CriteriaNotMet(f"{node.step.success} does not hold of the output", {"output": output})
        self.settle(node, "completed", output=output)

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
        self._leave(node)
        changes: dict[str, Any] = {"status": status, "output": output, "error": error, "ended": workflow.now()}
        if status == "completed":
            self.completions += 1
            changes["order"] = self.completions
        if by is not None:
            changes["by"] = by
        if node.is_leaf:
            changes["input"] = None
        node.update(**changes)
        node.done.set()
        for dependent in node.dependents:
            dependent.missing -= 1
            if dependent.missing == 0:
                self._launch(dependent)
        if not node.is_item:
            node.scope.unsettled -= 1
            if node.scope.unsettled == 0:
                node.scope.settled.set()
        self.touch()

    # Failing and parking

    async def _failed(self, node: Node, error: StepError) -> None:
        self._leave(node)
        info = error.info if isinstance(error, _Parked) else ErrorInfo.of(error)
        detail = info.detail if isinstance(info.detail, dict) else {}
        may_have_happened = info.type == OutcomeUnknown.type_name() or bool(detail.get("uncertain"))
        must_be_undone = may_have_happened and node.step.undo is not None
        if node.step.on_failure == "continue" or (self.ending is not None and not must_be_undone):
            self.settle(node, "failed", error=info)
        elif node.step.on_failure == "fail":
            self.end(Ending("failed", _of_step(node, info)))
            self.settle(node, "failed", error=info)
        else:
            self._mend(node, await self.park(node, info))

    async def park(self, node: Node, error: ErrorInfo) -> Repair:
        """Wait for an operator; the rest of the run goes on."""
        node.update(status="attention", error=error, ended=None)
        self.parked[node.id] = node
        self.touch()
        try:
            return await node.repairs.get()
        finally:
            del self.parked[node.id]
            self.touch()

    def _mend(self, node: Node, repair: Repair) -> None:
        error = node.record.error
        match repair.action:
            case "skip":
                self.settle(node, "skipped", error=error, by=repair.by)
            case "complete":
                self.settle(node, "completed", output=repair.value, by=repair.by)
            case "amend":
                amended = node.record.amended + 1
                afresh = {**_AFRESH, "input": repair.value, "amended": amended, "by": repair.by}
                node.update(**afresh)
            case "abort":
                undo = not (isinstance(repair.value, dict) and repair.value.get("undo") is False)
                reason = f"aborted by {repair.by}" + (f": {repair.reason}" if repair.reason else "")
                cause = f"; {node.id} had failed: {error.message}" if error else ""
                self.end(Ending("failed", ErrorInfo(type=Cancelled.type_name(), message=reason + cause), undo=undo))
                self.settle(node, "failed", error=error, by=repair.by)
            case _:
                node.update(**_AFRESH, tries=node.record.tries + 1, by=repair.by)

    # Doing something

    @asynccontextmanager
    async def working(self, node: Node, *, drains: bool = True) -> AsyncIterator[None]:
        """A place among the calls in flight. `drains`: continue-as-new waits for what is done in it."""
        await self.slots.acquire()
        try:
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
        finally:
            node.interruptible = True
            self.slots.release()
            self.active.discard(node)

    def await_outside(self, node: Node, **changes: Any) -> None:
        """From now on the step waits for people or time."""
        node.update(status="waiting", started=node.record.started or workflow.now(), **changes)
        self.waiting[node.id] = node
        self.touch()

    def _leave(self, node: Node) -> None:
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
            records=tuple(node.record for node in self.plan.walk() if not node.is_untouched),
            completions=self.completions,
            seen=self.seen,
            generation=self.generation + 1,
        )


class _Parked(StepError):
    """A step that was parked already when the run continued as new."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message, info.detail)
        self.info = info


def _of_step(node: Node, error: ErrorInfo) -> ErrorInfo:
    return error.model_copy(update={"message": f"{node.id}: {error.message}"})


def _is_about_items(condition: str | bool) -> bool:
    return any(
        {"item", "index"} & expressions.names_used(expression) for expression in expressions.expressions_in(condition)
    )


def _look_up(scope: Scope, name: str) -> Json:
    node = scope.find(name)
    return node.view() if node else {"output": None, "status": "pending"}
