"""How far a workflow's history has grown, and which release goes on with it."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.workflow import ContinueAsNewVersioningBehavior

with workflow.unsafe.imports_passed_through():
    from contracts.agent import HistoryGauge
    from contracts.events import is_topic


def history() -> HistoryGauge:
    info = workflow.info()
    return HistoryGauge(
        events=info.get_current_history_length(),
        bytes=info.get_current_history_size(),
        suggested=info.is_continue_as_new_suggested(),
    )


def is_suggested() -> bool:
    return workflow.info().is_continue_as_new_suggested()


def doubled() -> Callable[[], bool]:
    """Whether continuing as new is suggested, and the history is twice what it was when all was open again that the run
    had carried over: thousands of timers alone can be more than the server likes, at each beginning anew."""
    first = workflow.info().get_current_history_length()
    opened: tuple[int, int] | None = None

    def is_reached() -> bool:
        nonlocal opened
        info = workflow.info()
        events, size = info.get_current_history_length(), info.get_current_history_size()
        if opened is None and events > first:
            opened = events, size
        return is_suggested() and opened is not None and (events >= 2 * opened[0] or size >= 2 * opened[1])

    return is_reached


def outgrown(times: int) -> Callable[[], bool]:
    """Whether the history has grown to so many times of what it is now."""
    info = workflow.info()
    events, size = times * info.get_current_history_length(), times * info.get_current_history_size()

    def is_reached() -> bool:
        now = workflow.info()
        return now.get_current_history_length() > events or now.get_current_history_size() > size

    return is_reached


def next_release() -> ContinueAsNewVersioningBehavior | None:
    """Which release a run continues on as new: the one that new runs get. Workers that are no releases pass over it.

    What an agent or a run does for another run stays with that one, whose release must be able to read its result.
    """
    parent = workflow.info().parent
    is_part = parent is not None and not is_topic(parent.workflow_id)
    return None if is_part else ContinueAsNewVersioningBehavior.AUTO_UPGRADE
