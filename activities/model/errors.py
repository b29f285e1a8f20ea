"""What each answer of an endpoint that is no answer means: retry, when; the next model; or never.

The table is that of the project's bars; see `docs/agents.md`.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from activities.model.endpoints import Endpoint

PASSING = frozenset({408, 409, 500, 502, 504})
BUSY = frozenset({429, 503})
UNKNOWN_ATTEMPTS = 3
"""An error that is in no table is retried at most twice."""

BUSY_SECONDS = 5.0
"""Wait after a busy answer that names no time."""

MAX_WAIT = timedelta(minutes=15)
_SHOWN = 300
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"})
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


class Malformed(Exception):
    """An endpoint answered, but not with what its API promises."""


@dataclass(frozen=True)
class Fault:
    """`other_model`: this endpoint will not do, another of the chain may. `wait`: retry no sooner."""

    message: str
    retry: bool
    wait: timedelta | None = None
    other_model: bool = False
    unknown: bool = False


def classify(error: Exception, endpoint: Endpoint, attempt: int) -> Fault | None:
    """What an error of the client means; None for one that is no matter of the endpoint's.

    Args:
        attempt: 1 on the first try.
    """
    if isinstance(error, openai.APITimeoutError):
        return Fault(f"{endpoint}: no answer in time", retry=True)
    if isinstance(error, openai.APIConnectionError):
        return Fault(f"{endpoint}: no connection ({_cause(error)})", retry=True)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, endpoint, attempt)
    if isinstance(error, Malformed | openai.APIError | ValueError):
        said = f"{endpoint} gave an answer that cannot be read: {str(error)[:_SHOWN]}"
        return Fault(said, retry=attempt < UNKNOWN_ATTEMPTS, other_model=attempt >= UNKNOWN_ATTEMPTS, unknown=True)
    return None


def _of_status(error: openai.APIStatusError, endpoint: Endpoint, attempt: int) -> Fault:
    status = error.status_code
    body = error.body if isinstance(error.body, Mapping) else {}
    code, said = str(body.get("code") or body.get("type") or ""), _said(error, body)
    place = f"{endpoint} answered {status}"
    if code == "context_length_exceeded" or (status == 400 and "context length" in said.lower()):
        return Fault(f"{place}: the conversation is longer than the model takes: {said}", retry=False, other_model=True)
    if status == 429 and code in _QUOTA_CODES:
        return Fault(f"{place}: the quota or spend limit is used up: {said}", retry=False, other_model=True)
    if status in BUSY:
        return Fault(f"{place}: busy: {said}", retry=True, wait=retry_after(error.response.headers))
    if status in PASSING:
        return Fault(f"{place}: {said}", retry=True)
    if status in (401, 403):
        mend = f"check {endpoint.key_setting}, and that its project may use {endpoint.model}"
        return Fault(f"{place}: {said}; {mend}", retry=False, other_model=True)
    if status in (400, 404, 422):
        argument = f" (argument {body['param']})" if body.get("param") else ""
        return Fault(f"{place}: {said}{argument}", retry=False, other_model=status == 404)
    return Fault(f"{place}: {said}", retry=attempt < UNKNOWN_ATTEMPTS, unknown=True)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> timedelta:
    """How long to wait: `retry-after-ms`, `Retry-After` (seconds or a date), the reset headers; with some jitter, so
    that those who were sent away together do not come back together."""
    wait = _told(headers, now or datetime.now(UTC))
    seconds = BUSY_SECONDS if wait is None else wait.total_seconds()
    return min(timedelta(seconds=seconds * (1 + random.random() / 4)), MAX_WAIT)  # noqa: S311 -- jitter


def _told(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return timedelta(milliseconds=milliseconds)
    after = headers.get("retry-after")
    if (seconds := _number(after)) is not None:
        return timedelta(seconds=seconds)
    if after is not None:
        try:
            return max(parsedate_to_datetime(after) - now, timedelta(0))
        except (TypeError, ValueError):
            pass  # neither seconds nor a date: as if it were not there
    resets = [_duration(headers.get(f"x-ratelimit-reset-{what}")) for what in ("requests", "tokens")]
    return max((reset for reset in resets if reset is not None), default=None)


def _duration(text: str | None) -> timedelta | None:
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def _said(error: openai.APIStatusError, body: Mapping[str, Any]) -> str:
    text = str(body.get("message") or error.message).strip()
    return " ".join(text.split())[:_SHOWN] or "no reason given"


def _cause(error: Exception) -> str:
    return str(error.__cause__ or error)[:_SHOWN]
