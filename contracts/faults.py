"""Faults that a staging worker makes on purpose, so that what must survive them is seen to."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from contracts.base import Contract, Duration, format_duration

Share = Annotated[float, Field(ge=0, le=1)]
Point = Literal["before", "between", "after", "lost"]
"""Of an activity, at which its worker dies: before its effect; between the effect and its completion; after the server
has the completion. `lost`: it fails after the effect, and the worker lives."""

_PLACE = re.compile(r"(?P<where>\S+/\S+):(?P<point>before|between|after|lost)")
_LONGEST = timedelta(minutes=1)


class ModelFaults(Contract):
    """Shares of the requests to model endpoints. No request has two faults."""

    busy: Share = Field(default=0, description="answered with status 429")
    down: Share = Field(default=0, description="no connection")
    garbage: Share = Field(default=0, description="answered with a page that is no JSON")
    cut: Share = Field(default=0, description="an answer that breaks off")
    huge: Share = Field(default=0, description="an answer of 10 MB")
    refusing: Share = Field(default=0, description="the model refuses")
    slow: Share = Field(default=0, description="answered late, by up to `longest`")

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if (total := sum(share for _, share in self)) > 1:
            raise ValueError(f"these shares make {total:g}, and all requests are 1")
        return self


class Faults(Contract):
    """`[faults]`. `namespace`: the only Temporal namespace in which they are made, so that a file that is copied to
    production does not start there."""

    namespace: str = Field(min_length=1, description="of Temporal; a worker in another one does not start")
    seed: int = Field(default=0, description="the same seed, the same faults at the same places")
    late: Share = Field(default=0, description="activities that begin late, by up to `longest`")
    longest: Duration = timedelta(seconds=5)
    lost: Share = Field(default=0, description="tool calls whose answer is lost after their effect")
    kill: Share = Field(default=0, description="activities at which the worker kills itself")
    at: tuple[str, ...] = Field(
        default=(), description="WORKFLOW_ID/ACTIVITY_ID:POINT with * for any text; each place once"
    )
    model: ModelFaults = ModelFaults()

    @field_validator("longest")
    @classmethod
    def _is_bearable(cls, value: timedelta) -> timedelta:
        if value > _LONGEST:
            raise ValueError(f"is more than {format_duration(_LONGEST)}")
        return value

    @field_validator("at")
    @classmethod
    def _are_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not _PLACE.fullmatch(each):
                raise ValueError(f"{each!r} is no place; write WORKFLOW_ID/ACTIVITY_ID:before, between, after or lost")
        return value

    def places(self) -> tuple[tuple[str, Point], ...]:
        """Of `at`: patterns with their points."""
        found = (each.rpartition(":") for each in self.at)
        return tuple((where, point) for where, _, point in found)  # type: ignore[misc]  # validated above

    def __str__(self) -> str:
        """What is switched on, for the screen: `kill 1 %, model.busy 10 %, 2 places, seed 7`."""
        shares = {"late": self.late, "lost": self.lost, "kill": self.kill}
        shares |= {f"model.{name}": share for name, share in self.model}
        said = [f"{name} {share:.0%}" for name, share in shares.items() if share]
        said += [f"{len(self.at)} places"] if self.at else []
        return ", ".join((*said, f"seed {self.seed}"))
