"""How far a workflow's history has grown."""

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import HistoryGauge


def history() -> HistoryGauge:
    info = workflow.info()
    return HistoryGauge(
        events=info.get_current_history_length(),
        bytes=info.get_current_history_size(),
        suggested=info.is_continue_as_new_suggested(),
    )


def is_suggested() -> bool:
    return workflow.info().is_continue_as_new_suggested()


def outgrown(times: int) -> Callable[[], bool]:
    """Whether the history has grown to so many times of what it is now."""
    info = workflow.info()
    events, size = times * info.get_current_history_length(), times * info.get_current_history_size()

    def is_reached() -> bool:
        now = workflow.info()
        return now.get_current_history_length() > events or now.get_current_history_size() > size

    return is_reached
