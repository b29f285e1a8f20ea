"""Taking a run's effects back: in the reverse of the order in which they were made, independent ones at the same time.

Every completed step is undone before anything it came after; a step without an `undo` only passes the turn on.
"""

import asyncio
from collections import defaultdict
from heapq import heappop, heappush
from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.effects import UndoCall
    from contracts.errors import ErrorInfo, StepError
    from contracts.process import Undo
    from contracts.run import StepStatus
    from contracts.tools import ToolCall
    from workflows.calls import Call, call_tool
    from workflows.effects import Effect, as_call, owed, undo_calls
    from workflows.engine import Engine
    from workflows.nodes import Node


def undo_by_parent(engine: Engine) -> tuple[UndoCall, ...]:
    """How a parent takes a completed run back: every effect, last completed first."""
    done = [node for node in engine.plan.walk() if node.has_effect]
    done.sort(key=lambda node: _order(engine, node), reverse=True)
    tools = engine.definition.tools
    calls = (call for node in done for call in undo_calls(engine, node))
    return tuple(call if call.spec else call.model_copy(update={"spec": tools[call.tool]}) for call in calls)


class _Undoing:
    """A run being taken back: `earlier` is what was before each node, `later` counts what came after a node and is not
    taken back yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        exactly = workflow.patched("undo-is-exact")
        self._earlier = {node: tuple(node.predecessors(exactly=exactly)) for node in engine.plan.walk()}
        self._later: dict[Node, int] = defaultdict(int)
        self.tasks: list[asyncio.Task[bool]] = []
        for before in self._earlier.values():
            for earlier in before:
                self._later[earlier] += 1
        self._turn([node for node in self._earlier if self._later[node] == 0])

    def _turn(self, free: list[Node]) -> None:
        """Undo these, which nothing left came after; pass the turn on at once from those with no effect."""
        heap: list[tuple[float, str, Node]] = []
        for node in free:
            heappush(heap, self._ranked(node))
        while heap:
            *_, node = heappop(heap)
            if node.has_effect:
                self.tasks.append(asyncio.create_task(self._undo(node)))
                continue
            for freed in self._released(node):
                heappush(heap, self._ranked(freed))

    def _ranked(self, node: Node) -> tuple[float, str, Node]:
        last_first = -_order(self._engine, node) if node.has_effect else -self._engine.completions - 2
        return last_first, node.id, node

    def _released(self, node: Node) -> list[Node]:
        freed = []
        for earlier in self._earlier[node]:
            self._later[earlier] -= 1
            if self._later[earlier] == 0:
                freed.append(earlier)
        return freed

    async def _undo(self, node: Node) -> bool:
        undone = await _undo_step(self._engine, node)
        self._turn(self._released(node))
        return undone


async def undo_run(engine: Engine) -> int:
    """Take back every effect of a stopped run. An undo that keeps failing is parked for an operator.

    Returns:
        How many steps were taken back.
    """
    engine.record.is_undoing = True
    undoing = _Undoing(engine)
    undone = 0
    for task in undoing.tasks:  # which grow in number as effects are taken back
        undone += await task
    return undone


def _order(engine: Engine, node: Node) -> float:
    """Place in the order of completion, also of what was done and not accepted; what came to nothing came last."""
    record = node.record
    if record.order is None and record.unaccepted:
        return record.unaccepted[-1].after + 0.5
    return record.order or engine.completions + 1


async def _undo_step(engine: Engine, node: Node) -> bool:
    before: StepStatus = "completed" if node.record.order is not None else node.record.status
    done = 0
    node.is_taken_back = True
    node.update(status="undoing")
    effects = owed(engine, node)
    engine.touch()
    while node.record.status in ("undoing", "attention"):
        try:
            while done < len(effects):
                node.undoing = None
                node.undoing = call = as_call(engine, node, effects[done])
                await _call(engine, node, call, done)
                done += 1
            if not effects and not _was_undone_inside(node):
                node.update(status=before)
                return False
            node.update(status="undone", error=None)
        except StepError as error:
            info = ErrorInfo(type=error.type_name(), message=f"undo failed: {error}", detail=error.detail)
            repair = await engine.park(node, info)
            match repair.action:
                case "skip":
                    node.update(status=before, by=repair.by)
                case "complete":
                    node.update(status="undone", error=None, by=repair.by)
                case "amend":
                    effects[done] = _amended(node, effects[done], repair.value)
                    node.update(status="undoing", amended=node.record.amended + 1, by=repair.by)
                case _:
                    node.update(status="undoing", by=repair.by)
    engine.touch()
    return node.record.status == "undone" and bool(effects)


def _amended(node: Node, effect: UndoCall | Effect, args: dict[str, Json]) -> UndoCall:
    """The call that an operator gave other arguments; one whose arguments could not be worked out was never made."""
    if isinstance(effect, Effect):
        effect = UndoCall(tool=cast(Undo, node.step.undo).tool, args={}, key=effect.key)
    return effect.model_copy(update={"args": args, "key": f"{effect.key}~{node.record.amended + 1}"})


def _was_undone_inside(node: Node) -> bool:
    return any(inner.record.status == "undone" for inner in node.inside())


async def _call(engine: Engine, node: Node, undo: UndoCall, number: int) -> None:
    tool_call = ToolCall(args=undo.args, key=undo.key, run=engine.run, step=node.id)
    call = Call(f"{node.id}:undo{number or ''}", f"undo {node.id}: {undo.tool}", priority=engine.request.priority)
    async with engine.slots:
        try:
            await call_tool(undo.spec or engine.definition.tools[undo.tool], tool_call, call)
        except StepError:
            engine.record.measuring.undone(undo.tool, "failed")
            raise
    engine.record.measuring.undone(undo.tool, "done")
