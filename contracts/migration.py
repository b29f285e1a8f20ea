"""Moving a run to another definition of its process, and to the current release of the workers."""

from pydantic import Field

from contracts.base import Contract
from contracts.decisions import Actor, Reason
from contracts.run import Definition


class Migration(Contract):
    """Go on with this definition, on the release of the workers that new runs get; without one, only that.

    A step that has begun must be the same in it, but for how it is carried out; one that has not may change, go, or be
    new. `dry_run`: only say what would change.
    """

    by: Actor
    reason: Reason = ""
    definition: Definition | None = None
    dry_run: bool = Field(default=False, description="only say what would change")
    id: str | None = None
