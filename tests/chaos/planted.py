"""Bugs that the fault tests must find: each is put into a worker's memory before it starts, and nowhere else."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from temporalio import activity

import workflows.deciding
import workflows.messages
import workflows.undo
from activities.model.memory import Conversations
from activities.tools.context import ActivityToolContext
from activities.tools.state import RunState
from contracts.decisions import Decision, Receipt
from contracts.model import ModelReply
from contracts.run import Snapshot, StepRecord
from contracts.state import PutState, StateValue
from workflows.engine import Engine
from workflows.nodes import Node


def key_made_of_the_attempt() -> None:
    make = ActivityToolContext.__init__

    def made(self: ActivityToolContext, *args: Any) -> None:
        make(self, *args)
        self.idempotency_key += f"#{self.attempt}"

    ActivityToolContext.__init__ = made  # type: ignore[method-assign, assignment]


def write_of_the_state_known_by_the_attempt() -> None:
    put = RunState.put

    async def known(self: RunState, run: str, write: PutState) -> StateValue:
        identity = f"{write.id}#{activity.info().attempt}"
        return await put(self, run, write.model_copy(update={"id": identity}))

    RunState.put = known  # type: ignore[method-assign]


def undo_in_the_order_of_completion() -> None:
    earlier, begin = Node.predecessors, workflows.undo._Undoing.__init__
    later: dict[Node, list[Node]] = {}

    def turned_round(self: workflows.undo._Undoing, engine: Engine) -> None:
        for node in engine.plan.walk():
            for each in earlier(node):
                later.setdefault(each, []).append(node)
        begin(self, engine)

    def predecessors(self: Node, **_: bool) -> Iterator[Node]:
        yield from later.get(self, ())

    workflows.undo._Undoing.__init__ = turned_round  # type: ignore[method-assign]
    Node.predecessors = predecessors  # type: ignore[method-assign]


def decision_acknowledged_before_it_is_counted() -> None:
    count = workflows.deciding.decide
    pending: list[asyncio.Task[None]] = []

    async def later(engine: Engine, decision: Decision) -> None:
        await asyncio.sleep(2)
        if decision.step in engine.waiting:
            count(engine, decision)
            engine.touch()

    def acknowledge(engine: Engine, decision: Decision) -> Receipt:
        pending.append(asyncio.create_task(later(engine, decision)))
        return Receipt(outcome="counted", status="waiting")

    vars(workflows.messages)["decide"] = acknowledge


def completed_step_again_after_continuing_as_new() -> None:
    take = Engine.snapshot

    def forgetful(self: Engine) -> Snapshot:
        whole = take(self)
        done = [record for record in whole.records if record.order is not None and "[" not in record.id]
        last = max(done, key=lambda record: record.order or 0, default=None)
        return whole.model_copy(update={"records": tuple(each for each in whole.records if each is not last)})

    Engine.snapshot = forgetful  # type: ignore[method-assign]


def votes_forgotten_on_continuing_as_new() -> None:
    """And that they were given, so that whoever gave one is asked again."""
    take = Engine.snapshot

    def forgotten(record: StepRecord) -> StepRecord:
        if record.approval is None or record.approval.outcome is not None:
            return record
        return record.model_copy(update={"approval": record.approval.model_copy(update={"votes": ()})})

    def forgetful(self: Engine) -> Snapshot:
        whole = take(self)
        return whole.model_copy(update={"records": tuple(map(forgotten, whole.records)), "seen": {}, "said": {}})

    Engine.snapshot = forgetful  # type: ignore[method-assign]


def answer_asked_for_again() -> None:
    async def never(self: Conversations, place: str) -> ModelReply | None:
        return None

    Conversations.answered = never  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        key_made_of_the_attempt,
        write_of_the_state_known_by_the_attempt,
        undo_in_the_order_of_completion,
        decision_acknowledged_before_it_is_counted,
        completed_step_again_after_continuing_as_new,
        votes_forgotten_on_continuing_as_new,
        answer_asked_for_again,
    )
}


def plant(name: str) -> None:
    BUGS[name]()
