"""Everything that can go wrong, classified once.

SurefootError
├── CallerError                 the call was wrong; nothing was started (exit status 2)
│   ├── DefinitionInvalid       mistakes in a process file, each with its place
│   ├── InputInvalid            the run's input does not fit the process's schema
│   ├── UnknownProcess
│   ├── UnknownRun
│   ├── SettingsInvalid
│   ├── PayloadUnavailable      a payload cannot be stored or decrypted, or is not where it was stored
│   └── Refused                 a decision, repair or cancel that does not hold, with what holds instead
├── ServerUnreachable           no Temporal server answers (exit status 3)
├── RecordingMissing            an evaluation lacks a recorded answer (exit status 1)
└── StepError                   a step failed; its `on_failure` decides
    ├── ExpressionFailed        a `${ }` could not be evaluated
    ├── ArgumentsInvalid        arguments do not fit the tool's schema; nothing was called
    ├── TooDeep                 a value is nested so deep that whoever it is for could not read it
    ├── OutputInvalid           a result does not fit the step's or tool's schema
    ├── Tainted                 a write, or a call to the outside, with text from outside that nobody vouches for
    ├── CriteriaNotMet          `success` does not hold of the output, or a `repeat` never came to its end
    ├── StateConflict           somebody wrote the key of the shared state meanwhile
    ├── EventMissed             no event came within its time
    ├── PlanInvalid             a planner gave no plan that holds, also after corrections
    ├── ToolFailed              a tool failed, after its retries
    ├── OutcomeUnknown          a write may or may not have happened
    ├── ModelFailed             a model call failed, after its retries
    ├── AnswerRefused           the model declined, or a content filter cut it off
    ├── LimitReached            turns, tokens, cost or time of an agent, a goal or a run are used up
    ├── Repeating               an agent made the same call again and again, to the same result
    ├── ConversationTooLong     an agent's conversation is longer than its model takes
    ├── Rejected                people said no, or an approval expired
    ├── ChildFailed             a sub-process failed
    └── Cancelled               the step was cancelled with its run

Across Temporal an error is an `ApplicationError` whose type is the class name; `type_name` is that name.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from contracts.base import Contract
from contracts.plain import MAX_MESSAGE, abridged


class SurefootError(Exception):
    """The root of this tree. `str(error)` is one message for a person: the place, the value, the way out; of
    one over 20,000 characters the beginning and the end, far below what Temporal carries."""

    def __init__(self, message: str = "") -> None:
        super().__init__(abridged(message, MAX_MESSAGE))

    @classmethod
    def type_name(cls) -> str:
        return cls.__name__


class CallerError(SurefootError):
    """The call was wrong; nothing was started."""


class Problem(Contract):
    """One mistake in a file: where (1-based line and column), what is wrong, what would be right."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class DefinitionInvalid(CallerError):
    """Every mistake of a process file at once, in the order of their places."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class InputInvalid(CallerError):
    pass


class UnknownProcess(CallerError):
    pass


class UnknownRun(CallerError):
    pass


class SettingsInvalid(CallerError):
    pass


class Refused(CallerError):
    pass


class ServerUnreachable(SurefootError):
    pass


class RecordingMissing(SurefootError):
    """An agent in an evaluation asks what no model was asked when answers were recorded."""


class PayloadUnavailable(CallerError):
    """Wherever a worker meets it, Temporal tries again, so that the run goes on once the payload is back."""


class StepError(SurefootError):
    """A step failed. `detail` is JSON for whoever repairs it: the offending value, the key, the endpoint's answer."""

    def __init__(self, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.detail = detail


class ExpressionFailed(StepError):
    pass


class ArgumentsInvalid(StepError):
    pass


class TooDeep(StepError):
    pass


class OutputInvalid(StepError):
    pass


class Tainted(StepError):
    pass


class CriteriaNotMet(StepError):
    pass


class StateConflict(StepError):
    pass


class EventMissed(StepError):
    pass


class PlanInvalid(StepError):
    pass


class ToolFailed(StepError):
    pass


class OutcomeUnknown(StepError):
    pass


class ModelFailed(StepError):
    pass


class AnswerRefused(StepError):
    pass


class LimitReached(StepError):
    pass


class Repeating(StepError):
    pass


class ConversationTooLong(StepError):
    pass


class Rejected(StepError):
    pass


class ChildFailed(StepError):
    pass


class Cancelled(StepError):
    pass


class ErrorInfo(Contract):
    """A step's or run's error as the view shows it."""

    type: str = Field(description="the class name in contracts.errors, or the exception a tool raised")
    message: Annotated[str, AfterValidator(lambda message: abridged(message, MAX_MESSAGE))]
    detail: Any = None

    @classmethod
    def of(cls, error: StepError) -> "ErrorInfo":
        return cls(type=error.type_name(), message=str(error), detail=error.detail)
