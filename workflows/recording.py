"""Writes a run's record while the run goes on: what is urgent at once, the rest together, all of it at the end."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.activities import WRITE_RECORD
    from workflows.calls import summary
    from workflows.engine import Engine
    from workflows.notices import Notices

RECORD_PATCH = "record"
"""Runs that began before there was a record replay without it."""

_TIMEOUT = timedelta(seconds=30)
_UNTIL_WRITTEN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
"""A database that is away holds up nothing but the run's end, which comes when its last events are written."""


async def keep(engine: Engine, notices: Notices) -> None:
    """Until the record is complete and written. People are told of what is written."""
    record = engine.record
    while not (record.is_complete and record.is_written):
        await waiting.until(lambda: record.is_due or (record.is_complete and record.is_written))
        if record.is_due:
            try:
                await _write(engine, notices)
            except ActivityError as error:  # Somebody ended it through Temporal; nothing of ours does.
                workflow.logger.warning("the record is written again: %s", error.cause or error)


async def _write(engine: Engine, notices: Notices) -> None:
    batch = engine.record.batch()
    first, last = batch.after + 1, batch.after + len(batch.events)
    written = await workflow.execute_activity(
        WRITE_RECORD.name,
        batch,
        result_type=WRITE_RECORD.result,
        start_to_close_timeout=_TIMEOUT,
        retry_policy=_UNTIL_WRITTEN,
        summary=summary(f"record: events {first} to {last}"),
        priority=Priority(priority_key=engine.request.priority),
    )
    engine.record.was_written(len(batch.events), written.head)
    notices.tell(batch, written.channels)
