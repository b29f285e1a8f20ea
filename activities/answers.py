"""What all HTTP clients read of an answer that is no success."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

SHOWN = 500
"""Characters of an answer that a message repeats."""


def short(text: str) -> str:
    """The text on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


def sent_at(headers: Mapping[str, str]) -> datetime:
    """When an answer was sent, by the clock of whoever sent it, which is the one that its dates are of."""
    try:
        when = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return datetime.now(UTC)
    return when.replace(tzinfo=when.tzinfo or UTC)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """What `Retry-After` says, in seconds or as a date (RFC 9110, 10.2.3); at most an hour."""
    said = headers.get("retry-after", "").strip()
    seconds: float | None = None
    if said.isdecimal():
        seconds = float(said)
    elif said:
        try:
            when = parsedate_to_datetime(said)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - sent_at(headers)).total_seconds()
    return None if seconds is None else timedelta(seconds=min(max(seconds, 0.0), 3600.0))
