"""How often a model call was really tried. Temporal's own count includes the times it only waited.

The workflow lets a call be attempted without end, since an endpoint may be down for hours. What bounds it is this
tally, which travels in the details of the activity's heartbeat from one attempt to the next, on whichever worker.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import activity

from activities.model.errors import Fault
from contracts.base import Contract
from contracts.model import Usage

ATTEMPTS = 5
"""Of calls that fail in a way that may pass, while the endpoint serves others."""

UNKNOWN_ATTEMPTS = 3
"""An error that is in no table is retried at most twice, as is a slip of the model's."""

BUSY_ATTEMPTS = 60
"""An endpoint that is busy whenever it is asked, for about an hour, is a matter for a person."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds of the pause before the second try, and of the longest; in between it doubles."""


class Tally(Contract):
    """The tries so far that used up an attempt, those answered with `busy`, those whose worker was lost, and whether
    one is under way. `usage`: of answers that could not be read, and are paid for all the same."""

    failed_calls: int = 0
    busy_calls: int = 0
    lost_calls: int = 0
    under_way: bool = False
    usage: Usage = Usage()


def tally_so_far() -> Tally:
    """Of the attempts before. One that was under way and never ended lost its worker."""
    found = tally_in(activity.info().heartbeat_details)
    return found.model_copy(update={"lost_calls": found.lost_calls + found.under_way, "under_way": False})


def tally_in(details: Sequence[Any]) -> Tally:
    for detail in details:
        if isinstance(detail, Mapping) and "failed_calls" in detail:
            try:
                return Tally.model_validate(detail)
            except ValidationError:
                continue  # of another version
    return Tally()


def counted(tally: Tally, fault: Fault, *, probe: bool) -> Tally:
    """The tally after this. A probe of an open breaker uses nothing up: what is down is known."""
    failed = fault.kind in ("passing", "slip", "unknown") and not (probe and fault.broken)
    busy = fault.kind == "busy"
    changes = {"failed_calls": tally.failed_calls + failed, "busy_calls": tally.busy_calls + busy}
    return tally.model_copy(update=changes)


def may_retry(tally: Tally, fault: Fault) -> bool:
    """Whether to ask again, after this fault was counted."""
    match fault.kind:
        case "held":
            return True
        case "busy":
            return tally.busy_calls < BUSY_ATTEMPTS
        case "passing":
            return tally.failed_calls < ATTEMPTS
        case "slip" | "unknown":
            return tally.failed_calls < UNKNOWN_ATTEMPTS
        case _:
            return False


def pause(tally: Tally, fault: Fault) -> timedelta:
    """What to wait before the next try: as told, with some jitter so that those who were sent away together do not
    come back together; else growing, with full jitter."""
    if fault.wait is not None:
        return fault.wait * (1 + random.random() / 4)  # noqa: S311 - jitter, not a secret
    tries = tally.busy_calls + 3 if fault.kind == "busy" else tally.failed_calls
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** max(0, tries - 1))
    least = longest / 2 if fault.kind == "busy" else 0.05
    return timedelta(seconds=random.uniform(least, longest))  # noqa: S311 - jitter, not a secret
