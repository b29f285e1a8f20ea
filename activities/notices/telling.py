"""The activity that sends a notice."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeats import heartbeating
from activities.notices.sending import Notifier
from contracts.activities import NOTIFY
from contracts.notices import UNDELIVERED, SendNotice, Sent, Undelivered
from contracts.record import RecordsUnavailable


def notify_activity(notifier: Notifier) -> Callable[[SendNotice], Awaitable[Sent]]:
    """`surefoot.notify`. An attempt that is cancelled goes on to its end, which says what was delivered."""

    @activity.defn(name=NOTIFY.name)
    async def notify(notice: SendNotice) -> Sent:
        with heartbeating():
            sending = asyncio.create_task(_send(notifier, notice))
            try:
                return await asyncio.shield(sending)
            except asyncio.CancelledError:
                return await sending

    return notify


async def _send(notifier: Notifier, notice: SendNotice) -> Sent:
    try:
        return await notifier.send(notice)
    except Undelivered as error:
        raise ApplicationError(
            str(error), type=UNDELIVERED, non_retryable=error.final, next_retry_delay=error.after
        ) from error
    except RecordsUnavailable as error:
        message = f"{error}; free space there, or check records.url"
        # The cause's stack is longer than what Temporal shows of a failure.
        raise ApplicationError(message, type="RecordsUnavailable") from None
