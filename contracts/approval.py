"""Who is asked for a decision, how, and what happens when they do not answer: the `approval` of a process."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contracts.base import Contract, Duration, Expression, Json, JsonSchema

Who = Annotated[str, Field(pattern=r"^((user|group):[^\s:]+|starter)$", description="user:NAME or group:NAME")]
NotBy = Annotated[
    str,
    Field(
        pattern=r"^((user|group):[^\s:]+|starter|editor)$",
        description="user:NAME, group:NAME, starter (of the run) or editor (who last changed what is decided on)",
    ),
]

STARTER = "starter"
EDITOR = "editor"


class Stage(Contract):
    """Who decides: `count` of `any_of` (default 1), or all of `all_of`."""

    any_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    all_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Stage":
        if (self.any_of is None) == (self.all_of is None):
            raise ValueError("write exactly one of any_of and all_of")
        if self.count is not None and self.any_of is None:
            raise ValueError("count goes with any_of")
        return self


class ApprovalRow(Contract):
    """A row of the approval matrix: `stages`, in order or side by side, or one stage written in the row itself."""

    when: Expression | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] | None = None
    side_by_side: bool = False
    any_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    all_of: Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _stages_or_stage(self) -> "ApprovalRow":
        if self.stages is None:
            self.resolved_stages()
            if self.side_by_side:
                raise ValueError("side_by_side goes with stages")
        elif (self.any_of, self.all_of, self.count) != (None, None, None):
            raise ValueError("write either stages, or any_of / all_of / count, not both")
        return self

    def resolved_stages(self) -> tuple[Stage, ...]:
        return self.stages or (Stage(any_of=self.any_of, all_of=self.all_of, count=self.count),)


class Escalation(Contract):
    """After this long, these people may decide too."""

    after: Duration
    to: Annotated[tuple[Who, ...], Field(min_length=1)]


class Approve(Contract):
    """An approval of what a step is about to do. Without a `title` the question is the call or the plan itself.

    `claim`: how long somebody keeps the decision for themselves who claims it. `delegate`: to whom those who are asked
    may hand it over; `false`: to nobody; left out: to anyone whom the directory knows. `hash: required`: a vote that
    does not name the hash of what it is about does not count.
    """

    title: Annotated[str, Field(min_length=1)] | None = None
    show: dict[str, Json] = {}
    from_: Annotated[tuple[ApprovalRow, ...], Field(alias="from", min_length=1)]
    not_by: tuple[NotBy, ...] = ()
    claim: Duration = timedelta(hours=1)
    delegate: Literal[False] | Annotated[tuple[Who, ...], Field(min_length=1)] | None = None
    remind: Duration | None = None
    escalate: Escalation | None = None
    expires: Duration | None = None
    on_expiry: Literal["reject", "approve"] = "reject"
    on_reject: Literal["stop", "continue"] = "stop"
    hash: Literal["optional", "required"] = "optional"


class CallApproval(Approve):
    """An approval of an agent's calls, in the middle of its turn: of these tools, where `when` holds of the `args`.

    A rejected call is answered with the reason, and the agent goes on; with `on_reject: stop` the run ends.
    """

    tools: Annotated[tuple[str, ...], Field(min_length=1)]
    when: Expression | None = None
    on_reject: Literal["stop", "continue"] = "continue"


class Approval(Approve):
    """What people are asked, what they are shown, who they are, and what happens when they do not answer.

    `edits`: JSON Schema of what they may write in `--edit`; left out: any JSON, where an expression reads the `edits`
    of the step's output, and nothing where none does.
    """

    title: Annotated[str, Field(min_length=1)]
    edits: JsonSchema | None = None


def names_starter(value: Contract) -> bool:
    """Whether any approval in a contract, however deep, keeps whoever started the run from deciding."""
    # Most name nobody so, which their JSON tells; of a thousand steps the walk takes a tenth of a run's replay.
    return f'"{STARTER}"' in value.model_dump_json() and _names_starter(value)


def _names_starter(value: object) -> bool:
    if isinstance(value, Approve) and STARTER in value.not_by:
        return True
    if isinstance(value, Contract):
        return any(_names_starter(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, dict | list | tuple):
        return any(_names_starter(item) for item in (value.values() if isinstance(value, dict) else value))
    return False
