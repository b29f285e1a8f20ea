"""What the agent of a recorded history reads."""

from contracts.tools import tool


@tool(name="pages.read", effect="read")
async def read(page: int) -> str:
    """A page, of 2,000 characters."""
    return f"page {page} ".ljust(2_000, "x")
