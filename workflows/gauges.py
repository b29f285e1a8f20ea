"""How far a workflow's history has grown."""

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
