"""Evaluations of a process: cases beside it, model answers that were recorded, what was tried, what was accepted."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.base import Contract, Expression, Json
from contracts.run import RunStatus
from contracts.settings import ModelAlias

EVALS_FILE = "evals.yaml"
RECORDED_FILE = "evals.recorded.json"
BASELINE_FILE = "evals.baseline.json"


class Said(Contract):
    """What somebody decides as soon as the run asks at this step."""

    step: str
    decision: Literal["approve", "reject"]
    by: str = Field(pattern=r"^[a-z]+:\S+$", description="user:NAME")
    comment: str | None = None
    edits: Json = None


class Case(Contract):
    """One run: its input, what people say to it in order, and what must hold of its end."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    input: Json = None
    started_by: str = Field(default="user:starter", pattern=r"^[a-z]+:\S+$")
    people: tuple[Said, ...] = ()
    expect: tuple[Expression, ...] = Field(min_length=1, description="all must be true of the run's end")


class Evals(Contract):
    """`evals.yaml` beside a process. `runs`: tries of each case; `k`: of pass^k. `fakes`: by tool, `bank.*`, what it
    returns instead of being called; null: the least that fits its schema."""

    runs: Annotated[int, Field(ge=1, le=1_000)] = 5
    k: Annotated[int, Field(ge=1, le=1_000)] = 3
    fakes: dict[str, Json] = {}
    cases: tuple[Case, ...]

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.k > self.runs:
            raise ValueError(f"pass^{self.k} cannot be told from {self.runs} runs; raise `runs`, or lower `k`")
        return self


class RecordedReply(Contract):
    """What an endpoint answered. `request`: SHA-256 (hex) of method, path and body; `seconds`: until all was there."""

    request: str
    status: int
    content_type: str
    body: str
    seconds: float


class Recording(Contract):
    """`evals.recorded.json`: the models that were asked, without keys, and for each case the replies of every try."""

    models: dict[str, ModelAlias]
    tries: dict[str, tuple[tuple[RecordedReply, ...], ...]]


class Tried(Contract):
    """One try of a case. `failed`: each criterion that did not hold, and why; `cost` in US dollars; `seconds` that
    models took to answer, one after the other."""

    status: RunStatus
    failed: tuple[str, ...] = ()
    cost: float
    tokens: int
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.failed


class Estimate(Contract):
    """A chance with its interval of 95 %."""

    value: float
    low: float
    high: float


class Score(Contract):
    """`pass_1`: the chance that a try passes; `pass_k`: that all of k independent ones do."""

    pass_1: Estimate
    pass_k: Estimate


class CaseReport(Contract):
    case: str
    tries: tuple[Tried, ...]
    score: Score

    @property
    def passed(self) -> int:
        return sum(each.passed for each in self.tries)


class Counted(Contract):
    tries: int
    passed: int


class Baseline(Contract):
    """`evals.baseline.json`: what was accepted last. `cost` and `seconds` of a try, on average. `recorded`: SHA-256
    (hex) of the recording that was replayed or made."""

    recorded: str
    cases: dict[str, Counted]
    cost: float
    seconds: float


class EvalReport(Contract):
    """`regressions`: what is worse than accepted, with the test that says so."""

    process: str
    k: int
    replayed: bool
    cases: tuple[CaseReport, ...]
    score: Score
    now: Baseline
    accepted: Baseline | None
    regressions: tuple[str, ...]
