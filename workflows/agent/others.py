"""Those who work for an agent: who they are, what they are granted, what they leave."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import MAX_CHILDREN, MAX_NOTE, ChildRecord, TogetherState
    from contracts.effects import UndoCall
    from contracts.messages import Message
    from contracts.model import Usage
    from contracts.process import Budget
    from workflows.lasting import MAX_TOLD


@dataclass(frozen=True)
class Successor:
    """To whom an agent handed its task over."""

    name: str
    reason: str
    summary: str


class Others:
    """`held`: what is granted to those at work. `asking`: how many wait for their grant. `peers`: what each was asked
    and answered."""

    def __init__(self, state: TogetherState) -> None:
        self.undo: tuple[UndoCall, ...] = state.undo
        self.stands: tuple[str, ...] = state.stands
        self.children: tuple[ChildRecord, ...] = state.children
        self.peers: dict[str, tuple[Message, ...]] = dict(state.peers)
        self.held: dict[str, Budget] = {}
        self.asking = 0
        self.lending = asyncio.Lock()
        self.successor: Successor | None = None
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def state(self) -> TogetherState:
        return TogetherState(undo=self.undo, stands=self.stands, children=self.children, peers=self.peers)

    def begin(self, child: str, tool: str) -> None:
        self.children = (*self.children, ChildRecord(id=child, tool=tool, started=workflow.now()))[-MAX_CHILDREN:]

    def end(self, child: str, usage: Usage, *, error: str | None = None) -> None:
        """The last one of this id has ended."""
        for place in range(len(self.children) - 1, -1, -1):
            record = self.children[place]
            if record.id == child:
                ended = record.model_copy(
                    update={
                        "status": "completed" if error is None else "failed",
                        "ended": workflow.now(),
                        "usage": usage,
                        "error": (error or "")[:MAX_NOTE],
                    }
                )
                self.children = (*self.children[:place], ended, *self.children[place + 1 :])
                return

    def did(self, undo: tuple[UndoCall, ...], stands: tuple[str, ...]) -> None:
        """What a process did can be taken back by these calls, before all that was done earlier; but for what
        `stands`."""
        known = {call.key for call in undo}
        self.undo = (*undo, *(call for call in self.undo if call.key not in known))
        self.stands = tuple(dict.fromkeys((*self.stands, *stands)))[:MAX_TOLD]

    @asynccontextmanager
    async def one_at_a_time(self, peer: str) -> AsyncIterator[None]:
        """A peer that is asked twice in one turn answers one question after the other."""
        async with self._locks[peer]:
            yield

    @property
    def all_held(self) -> Usage:
        """What those at work may still use."""
        held = self.held.values()
        return Usage(
            calls=sum(grant.turns or 0 for grant in held),
            input_tokens=sum(grant.tokens or 0 for grant in held),
            cost=sum(grant.cost or 0 for grant in held),
        )
