"""What calls of declared tools measure, besides what every tool's do."""

from temporalio import activity

from activities.breaker import Breaker
from contracts.metrics import TOOL_BREAKER_OPEN


def breaker(found: Breaker) -> None:
    """How a call found the breaker of its host, or left it."""
    TOOL_BREAKER_OPEN.set(activity.metric_meter(), int(found.view().state == "open"), host=found.name)
