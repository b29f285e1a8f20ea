"""What calls of models measure, by the alias that was asked."""

from temporalio import activity

from activities.model.errors import Fault
from contracts.metrics import COST, MODEL_CALLS, TOKENS
from contracts.model import ModelReply, Usage


def asked(model: str, answered: ModelReply | Fault) -> None:
    """A question was put to the model; by now it is answered, or known why not."""
    if isinstance(answered, Fault):
        outcome: str = answered.kind
    else:
        outcome = "rehearsed" if answered.rehearsal else "answered"
        used(model, answered.usage)
    MODEL_CALLS.add(activity.metric_meter(), model=model, outcome=outcome)


def used(model: str, usage: Usage) -> None:
    meter = activity.metric_meter()
    for direction, tokens in (("in", usage.input_tokens), ("out", usage.output_tokens)):
        if tokens:
            TOKENS.add(meter, tokens, model=model, direction=direction)
    if usage.cost:
        COST.record(meter, usage.cost, model=model)
