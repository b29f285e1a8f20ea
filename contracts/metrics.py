"""What Surefoot measures beside Temporal's own metrics: names, units and labels. No label ever tells runs apart.

Workflows measure through `workflows/measuring.py`, activities with `activity.metric_meter()`. Prometheus adds to a name
`_total` for a counter and the unit for a histogram.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from temporalio.common import MetricMeter


@dataclass(frozen=True)
class Metric:
    """`labels`: what its figures are told apart by, each of few values."""

    name: str
    about: str
    labels: tuple[str, ...]

    @property
    def exported(self) -> str:
        """Its name at `/metrics`."""
        return self.name


@dataclass(frozen=True)
class Counter(Metric):
    @property
    def exported(self) -> str:
        return f"{self.name}_total"

    def add(self, meter: MetricMeter, by: int = 1, **labels: str) -> None:
        meter.create_counter(self.name, self.about).add(by, labels)


@dataclass(frozen=True)
class Gauge(Metric):
    def set(self, meter: MetricMeter, value: int, **labels: str) -> None:
        meter.create_gauge(self.name, self.about).set(value, labels)


@dataclass(frozen=True)
class Histogram(Metric):
    """`bounds`: upper ones of its buckets, in its unit."""

    unit: Literal["seconds", "dollars"]
    bounds: tuple[float, ...]

    @property
    def exported(self) -> str:
        return f"{self.name}_{self.unit}"

    def record(self, meter: MetricMeter, value: float | timedelta, **labels: str) -> None:
        amount = value.total_seconds() if isinstance(value, timedelta) else value
        meter.create_histogram_float(self.name, self.about, self.unit).record(amount, labels)


MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0

RUNS_STARTED: Final = Counter("surefoot_runs_started", "Runs that began", ("process",))
RUNS: Final = Counter("surefoot_runs", "Runs that ended", ("process", "status"))
RUNS_OPEN: Final = Gauge(
    "surefoot_runs_open",
    "Runs on their way, as the server counts them",
    ("process", "status"),
)
STEPS: Final = Counter("surefoot_steps", "Steps that came to a status", ("process", "kind", "status"))
ATTEMPTS: Final = Counter("surefoot_attempts", "Attempts of tools", ("tool", "outcome"))
UNDO: Final = Counter("surefoot_undo", "Calls that take an effect back", ("tool", "outcome"))
INCIDENTS: Final = Counter("surefoot_incidents", "Steps that stopped for an operator", ("process", "error"))
REPAIRS: Final = Counter("surefoot_repairs", "What operators did about steps", ("process", "action"))
APPROVALS: Final = Counter("surefoot_approvals", "What happened to approvals", ("process", "event"))
WAIT: Final = Histogram(
    "surefoot_wait",
    "From the moment people were asked until it was decided",
    ("process", "outcome"),
    "seconds",
    (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 8 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY, 30 * DAY),
)
MODEL_CALLS: Final = Counter("surefoot_model_calls", "Questions put to a model, by its alias", ("model", "outcome"))
TOKENS: Final = Counter("surefoot_tokens", "Tokens of models", ("model", "direction"))
COST: Final = Histogram(
    "surefoot_cost",
    "What an answer of a model cost, in US dollars",
    ("model",),
    "dollars",
    (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
BREAKER_OPEN: Final = Gauge("surefoot_breaker_open", "1 while a worker leaves the model alone", ("model",))
TOOL_BREAKER_OPEN: Final = Gauge(
    "surefoot_tool_breaker_open", "1 while a worker leaves a host or MCP server of tools alone", ("host",)
)

METRICS: Final[tuple[Metric, ...]] = (
    RUNS_STARTED,
    RUNS,
    RUNS_OPEN,
    STEPS,
    ATTEMPTS,
    UNDO,
    INCIDENTS,
    REPAIRS,
    APPROVALS,
    WAIT,
    MODEL_CALLS,
    TOKENS,
    COST,
    BREAKER_OPEN,
    TOOL_BREAKER_OPEN,
)
