"""How things end before they are through: a run that stops, a failure that is known already."""

from dataclasses import dataclass
from typing import Literal

from contracts.errors import ErrorInfo, StepError
from contracts.record import ENGINE as BY_ITSELF


@dataclass(frozen=True)
class Ending:
    """Why a run stops before its plan is through, by whose word, and whether its effects are taken back."""

    status: Literal["failed", "cancelled"]
    error: ErrorInfo
    undo: bool = True
    by: str = BY_ITSELF


class Known(StepError):
    """A failure that is in a record already: of a step that was parked when the run continued as new, or of a part."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message, info.detail)
        self.info = info
