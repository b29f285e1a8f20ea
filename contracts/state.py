"""The run's shared state: values with versions, how they are written, and the tools that agents read and write it with.

A key's version is the number of writes it has seen: 0 is its initial value, or nothing.
"""

from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import Field

from contracts.base import Contract, Json
from contracts.decisions import Actor
from contracts.tools import Tool, ToolContext, ToolError, ToolSpec, tool

Key = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class PutState(Contract):
    """Update `put_state`. `version`: the one the writer saw; without it the write is as of version 0."""

    key: Key
    value: Json = None
    version: Annotated[int, Field(ge=0)] = 0
    tainted: bool = Field(default=False, description="whether it may hold text from outside")
    by: Actor
    id: str | None = None


class StateValue(Contract):
    """A key as it stands after a read or a write. `written`: whether the write took hold; of a read, false. `tainted`:
    whether it may hold text from outside."""

    key: str
    value: Json = None
    version: int = 0
    written: bool = False
    tainted: bool = False


class Conflict(Contract):
    """Somebody wrote a key without having seen its newest version; what became of it by the key's policy."""

    at: datetime
    by: str
    saw: int
    was: int
    outcome: str


class StateEntry(Contract):
    """A key in the view. `conflicts` counts all; `last_conflicts` has the last ten."""

    value: Json = None
    version: int = 0
    by: str | None = None
    at: datetime | None = None
    conflicts: int = 0
    last_conflicts: tuple[Conflict, ...] = ()
    tainted: bool = Field(default=False, description="whether it may hold text from outside")


class StateStore(Protocol):
    """Where the tools read and write: the run itself."""

    async def get(self, run: str, key: str) -> StateValue: ...

    async def put(self, run: str, write: PutState) -> StateValue: ...


_PATIENT = {"attempts": 60, "first": "200ms", "factor": 1.5, "max": "5s"}


class _Nowhere:
    async def get(self, run: str, key: str) -> StateValue:
        raise ToolError("there is no run to read from", retry=False)

    async def put(self, run: str, write: PutState) -> StateValue:
        raise ToolError("there is no run to write to", retry=False)


def state_tools(store: StateStore) -> tuple[Tool[..., Any], ...]:
    """`state.get` and `state.put` for the runs of a store."""

    @tool(name="state.get", effect="read")
    async def get(ctx: ToolContext, key: str) -> StateValue:
        """Read a key of the run's shared state: its value and its version."""
        return await store.get(ctx.run, key)

    # The server takes ten updates of a run at a time, and turns the others away for now.
    @tool(name="state.put", effect="write", idempotent=True, retry=_PATIENT)
    async def put(ctx: ToolContext, key: str, value: Any, version: int = 0) -> StateValue:
        """Write a key of the run's shared state. Give the version you saw when you read it; if somebody else wrote
        since, you are told the newer value and version."""
        write = PutState(
            key=key,
            value=value,
            version=version,
            tainted=ctx.tainted,
            by=f"step:{ctx.step}",
            id=ctx.idempotency_key,
        )
        return await store.put(ctx.run, write)

    return get, put


def is_state_tainted(spec: ToolSpec, output: Json) -> bool:
    """Whether a tool of the state gave what may hold text from outside."""
    return spec.name in BUILT_IN and isinstance(output, dict) and bool(output.get("tainted"))


BUILT_IN: dict[str, ToolSpec] = {made.spec.name: made.spec for made in state_tools(_Nowhere())}
"""Tools that every process has."""
