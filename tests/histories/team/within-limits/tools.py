"""What the agents of recorded histories read, and write."""

from contracts.tools import tool


@tool(name="pages.read", effect="read")
async def read(page: int) -> str:
    """A page, of 2,000 characters."""
    return f"page {page} ".ljust(2_000, "x")


@tool(name="pages.note", effect="write", idempotent=True)
async def note(text: str) -> str:
    """Write a note in the margin."""
    return text
