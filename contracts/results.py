"""Results of an agent's calls that are too large for a conversation: kept whole, shown in part, read on with a tool."""

from typing import Annotated, Any, Protocol

from pydantic import Field

from contracts.base import Contract
from contracts.tools import Part, Tool, ToolContext, ToolError, ToolSpec, tool

SHOWN_WHOLE = 20_000
"""Bytes of a result, as JSON, up to which a model is shown all of it."""
SHOWN = 4_000
"""Characters of a larger one that it is shown at once."""
READ = 8_000
"""Characters that it reads on at a time, unless it asks for less."""


From = Annotated[int, Field(ge=0)]
UpTo = Annotated[int, Field(ge=1)]


class PartRead(Contract):
    """Characters of a result from `offset` on. `next`: where to read on; None at its end."""

    text: str
    offset: int
    next: int | None
    size: int


class ResultStore(Protocol):
    async def read(self, digest: str) -> str | None:
        """The result as JSON text; None when it is not kept any more."""


class _Nowhere:
    async def read(self, digest: str) -> str | None:
        return None


def result_tool(store: ResultStore) -> Tool[..., Any]:
    """`result.read` for results in a store. Which of them an agent may read, its workflow knows."""

    @tool(name="result.read", effect="read")
    async def read(ctx: ToolContext, result: str, offset: From = 0, length: UpTo = READ) -> PartRead:
        """Read on in a result that was too large to be shown whole: its characters from an offset on."""
        text = await store.read(result)
        if text is None:
            raise ToolError("this result is not kept any more; make the call that gave it again", retry=False)
        end = min(offset + min(length, READ), len(text))
        return PartRead(text=text[offset:end], offset=offset, next=end if end < len(text) else None, size=len(text))

    return read


RESULT_READ: ToolSpec = result_tool(_Nowhere()).spec
"""What every agent that has tools is offered besides."""


def part_of(digest: str, text: str) -> Part:
    return Part(digest=digest, size=len(text), head=text[:SHOWN])
