"""The activity by which approvals learn who is asked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.activities import RESOLVE_PEOPLE
from contracts.directory import DirectoryUnavailable, PeopleDirectory, UnknownName
from contracts.errors import SettingsInvalid
from contracts.people import People, ResolvePeople

UNKNOWN_PERSON = "UnknownPerson"


def resolve_people_activity(directory: PeopleDirectory) -> Callable[[ResolvePeople], Awaitable[People]]:
    """`surefoot.resolve_people`."""

    @activity.defn(name=RESOLVE_PEOPLE.name)
    async def resolve(request: ResolvePeople) -> People:
        try:
            return (await directory.find(request.names)).resolve(request.names, datetime.now(UTC))
        except UnknownName as error:
            message = f"{error}; add it to {directory.place}, then retry"
            raise ApplicationError(message, type=UNKNOWN_PERSON, non_retryable=True) from error
        except SettingsInvalid as error:
            raise ApplicationError(str(error), type=error.type_name(), non_retryable=True) from error
        except DirectoryUnavailable as error:
            raise ApplicationError(str(error), type=error.type_name(), next_retry_delay=error.after) from error

    return resolve
