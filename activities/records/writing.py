"""Activity `surefoot.write_record`: adds a run's events to the records database."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.records.store import Records
from contracts.activities import WRITE_RECORD
from contracts.channels import Channel
from contracts.record import RecordsUnavailable, TellingChannel, WriteRecord, Written, chained

MEND = "it is tried on, and the run ends no sooner; free space there, or check records.url"


def write_record_activity(
    records: Records, channels: Sequence[Channel] = ()
) -> Callable[[WriteRecord], Awaitable[Written]]:
    """`channels`: by which people are told."""

    @activity.defn(name=WRITE_RECORD.name)
    async def write(request: WriteRecord) -> Written:
        try:
            await records.write(request)
        except RecordsUnavailable as error:  # Whose stack is longer than the failure that Temporal would show.
            raise ApplicationError(f"{error}; {MEND}", type="RecordsUnavailable") from None
        last = chained(request)[-1]
        return Written(through=last.number, head=last.hash, channels=tuple(_telling(channels, request)))

    return write


def _telling(channels: Sequence[Channel], request: WriteRecord) -> Iterator[TellingChannel]:
    for channel in channels:
        numbered = enumerate(request.events, start=request.after + 1)
        if events := tuple(number for number, event in numbered if channel.tells(event.kind, request.process)):
            yield TellingChannel(name=channel.name, events=events)
