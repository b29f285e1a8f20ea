"""Activity `surefoot.write_record`: adds a run's events to the records database."""

from collections.abc import Awaitable, Callable, Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.records.store import Records
from contracts.activities import WRITE_RECORD
from contracts.channels import Channel
from contracts.record import RecordsUnavailable, WriteRecord, Written


def write_record_activity(
    records: Records, channels: Sequence[Channel] = ()
) -> Callable[[WriteRecord], Awaitable[Written]]:
    """`channels`: by which people are told."""

    @activity.defn(name=WRITE_RECORD.name)
    async def write(request: WriteRecord) -> Written:
        try:
            await records.write(request)
        except RecordsUnavailable as error:
            raise ApplicationError(f"{error}; check records.url", type="RecordsUnavailable") from error
        told = {
            number: tuple(channel.name for channel in channels if channel.tells(event.kind, request.process))
            for number, event in enumerate(request.events, start=request.after + 1)
        }
        return Written(
            through=request.after + len(request.events), notices={number: names for number, names in told.items() if names}
        )

    return write
