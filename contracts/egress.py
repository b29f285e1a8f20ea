"""Where tools may connect to, as a setting says it."""

from typing import Annotated

from pydantic import Field

from contracts.base import Contract


class Egress(Contract):
    """`allow`: host names, `*.domain`, addresses and ranges, each perhaps with `:port`. Left out, a tool reaches the
    public address of the host it was declared for. Addresses that are not public (this machine, the company's network)
    are reached only when the list names them, or names `localhost`.
    """

    allow: tuple[Annotated[str, Field(pattern=r"^[^\s/]+(/\d+)?(:\d+)?$")], ...] | None = None
    proxy: str | None = Field(default=None, pattern=r"^https?://", description="through which all goes")
