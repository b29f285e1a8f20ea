"""Activity `surefoot.write_record`: adds a run's events to the records database."""

from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.records.store import Records
from contracts.activities import WRITE_RECORD
from contracts.record import RecordsUnavailable, WriteRecord, Written


def write_record_activity(records: Records) -> Callable[[WriteRecord], Awaitable[Written]]:
    @activity.defn(name=WRITE_RECORD.name)
    async def write(request: WriteRecord) -> Written:
        try:
            await records.write(request)
        except RecordsUnavailable as error:
            raise ApplicationError(f"{error}; check records.url", type="RecordsUnavailable") from error
        return Written(through=request.after + len(request.events))

    return write
