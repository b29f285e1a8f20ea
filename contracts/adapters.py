"""Agents that a team already has, made with another framework, in the place of a model."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from contracts.base import Contract

Framework = Literal["pydantic_ai", "openai_agents", "langgraph"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)

GROUPS: dict[Framework, str] = {
    "pydantic_ai": "pydantic-ai",
    "openai_agents": "openai-agents",
    "langgraph": "langgraph",
}
"""The dependency group that each framework is installed with."""

ObjectName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*\.py:[A-Za-z_][A-Za-z0-9_]*$",
        description="FILE.py:NAME, the file beside the process's own",
    ),
]


class Adapter(Contract):
    """An agent of another framework, by the file and the name of the object. `own_tools`: tools that it brings itself
    may run, inside the turn's activity: at least once, unapproved, not undone."""

    pydantic_ai: ObjectName | None = None
    openai_agents: ObjectName | None = None
    langgraph: ObjectName | None = None
    own_tools: bool = False

    @model_validator(mode="after")
    def _one_framework(self) -> "Adapter":
        if sum(getattr(self, name) is not None for name in FRAMEWORKS) != 1:
            raise ValueError(f"write exactly one of {', '.join(FRAMEWORKS)}")
        return self

    @property
    def framework(self) -> Framework:
        return next(name for name in FRAMEWORKS if getattr(self, name) is not None)

    @property
    def object(self) -> str:
        """`FILE.py:NAME`."""
        return str(getattr(self, self.framework))
