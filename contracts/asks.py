"""What an agent asks people in the middle of its work, through the run it works for, and what they answer.

The run opens an approval for each ask, inside the agent's step: `research/ask-1`. It is decided as any other.
"""

from typing import Literal

from pydantic import Field

from contracts.approval import Approve
from contracts.base import Contract, Json, JsonSchema
from contracts.grants import Grant


class Ask(Contract):
    """Signal `ask`, from an agent to its run.

    `approve` is the author's: its expressions are evaluated in the run, with `names` in scope besides the run's own.
    `title` and `show` may hold a model's words, so they are shown as they are. `subject` is exactly what is decided on.
    """

    id: str
    workflow_id: str = Field(description="of the agent that asks, and is answered")
    step: str = Field(description="the run's step that the agent works for")
    title: str
    approve: Approve
    show: dict[str, Json] = {}
    subject: dict[str, Json] = {}
    names: dict[str, Json] = {}
    edits: JsonSchema | None = Field(default=None, description="what edits must fit; None: there is nothing to edit")
    call: str | None = Field(default=None, description="the tool, when it is a call that is asked about")
    grants: tuple[Grant, ...] = Field(default=(), description="what edits of a call must be covered by")
    stops: bool = Field(default=False, description="whether a rejection ends the run")


class Answer(Contract):
    """Signal `answer`, from the run to the agent. `by` is None when time decided. `edits` replace what was asked."""

    id: str
    outcome: Literal["approved", "rejected"]
    by: str | None = None
    comment: str = ""
    edits: Json = None


class Withdrawal(Contract):
    """Signal `withdraw`, from an agent to its run: it does not wait for this any more."""

    id: str
    step: str
