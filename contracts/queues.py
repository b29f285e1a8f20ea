"""Which task queue an activity is on, and how much of it a worker takes at once."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from contracts.activities import CALL_MODEL
from contracts.base import Contract


def _free(name: str) -> str:
    if name.startswith("/_"):
        raise ValueError("what begins with /_ is the server's own")
    return name


Queue = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_free)]
Slots = Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"]
Role = Literal["workflows", "models", "tools"]

DEFAULT_SLOTS = 200
ENGINE_PREFIX = "surefoot."
"""Of the names of the engine's own activities, which stay on the queue of workflows."""


class QueueSettings(Contract):
    """Queues of their own for model calls and tools; what has none is on the queue of workflows."""

    models: Queue | None = Field(default=None, description="of model calls")
    tools: dict[str, Queue] = Field(default={}, description="of tools by name, which may hold `*`; the first that fits")
    slots: dict[str, Slots] = Field(
        default={}, description="activities of a queue at once in one worker; auto: by the machine's memory and CPU"
    )

    def of(self, activity: str) -> str | None:
        """The activity's own queue."""
        if activity == CALL_MODEL.name:
            return self.models
        if activity.startswith(ENGINE_PREFIX):
            return None
        return next((queue for name, queue in self.tools.items() if fnmatchcase(activity, name)), None)

    def idle(self, tools: Collection[str]) -> list[str]:
        """The names that fit none of these tools, so that nothing comes to their queues."""
        return [name for name in self.tools if not any(fnmatchcase(tool, name) for tool in tools)]
