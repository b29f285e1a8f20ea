"""What each answer of an endpoint that is no answer means: retry, when; the next model; or never.

The table is that of the project's bars; see `docs/agents.md`.
"""

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from activities.model.endpoints import NO_KEY, Endpoint

PASSING = frozenset({408, 409, 500, 502, 504})
BUSY = frozenset({429, 503})
UNKNOWN_ATTEMPTS = 3
"""An error that is in no table is retried at most twice."""

BUSY_SECONDS = 5.0
"""Wait after a busy answer that names no time."""

MAX_WAIT = timedelta(days=1)
"""No endpoint means more than this; what says so is as if it said this."""

_SHOWN = 300
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"})
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
_TOO_LONG = re.compile(r"context (length|size|window)|maximum context|prompt is too long|exceed_context_size", re.I)
_STATUS_OF_CODE = {
    **dict.fromkeys(_QUOTA_CODES | {"rate_limit_exceeded"}, 429),
    **dict.fromkeys(_FILTER_CODES | {"context_length_exceeded"}, 400),
    "server_error": 500,
}
_KEY = re.compile(r"\bsk-[\w*-]{6,}")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


class Malformed(Exception):
    """An endpoint answered, but not with what its API promises."""


class Complained(Exception):
    """An endpoint answered 200 with an error inside."""

    def __init__(self, error: object) -> None:
        super().__init__("the answer holds an error")
        self.error: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}


@dataclass(frozen=True)
class Fault:
    """`other_model`: this endpoint will not do, another of the chain may. `wait`: retry no sooner. `filtered`: the
    prompt was stopped by a content filter, which is an outcome."""

    message: str
    retry: bool
    wait: timedelta | None = None
    other_model: bool = False
    unknown: bool = False
    filtered: bool = False


def classify(error: Exception, endpoint: Endpoint, attempt: int) -> Fault | None:
    """What an error of the client means; None for one that is no matter of the endpoint's. No message holds a key.

    Args:
        attempt: 1 on the first try.
    """
    fault = _classify(error, endpoint, attempt)
    return fault and replace(fault, message=_without_keys(fault.message, endpoint))


def _classify(error: Exception, endpoint: Endpoint, attempt: int) -> Fault | None:
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return Fault(f"{endpoint}: no answer in time", retry=True)
    if isinstance(error, openai.APIConnectionError):
        return Fault(f"{endpoint}: no connection ({_cause(error)})", retry=True)
    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, Mapping) else {"message": error.message}
        return _of_answer(error.status_code, body, error.response.headers, endpoint, attempt)
    if isinstance(error, Complained):
        code = error.error.get("code")
        status = code if isinstance(code, int) else _STATUS_OF_CODE.get(str(code), 200)
        return _of_answer(status, error.error, {}, endpoint, attempt)
    if isinstance(error, Malformed | openai.APIError | ValueError):
        mend = "check its URL, which usually ends in /v1"
        said = f"{endpoint} gave an answer that cannot be read: {_line(str(error))}; {mend}"
        return Fault(said, retry=attempt < UNKNOWN_ATTEMPTS, other_model=attempt >= UNKNOWN_ATTEMPTS, unknown=True)
    return None


def _of_answer(
    status: int, error: Mapping[str, Any], headers: Mapping[str, str], endpoint: Endpoint, attempt: int
) -> Fault:
    """`error`: the `error` object of the body."""
    codes = {str(error.get("code") or ""), str(error.get("type") or "")}
    said = _line(str(error.get("message") or "")) or "no reason given"
    place = f"{endpoint} answered {status}"
    if codes & _FILTER_CODES:
        return Fault(f"{place}: {said}", retry=False, filtered=True)
    if "context_length_exceeded" in codes or (status in (400, 413) and _TOO_LONG.search(f"{said} {codes}")):
        return Fault(f"{place}: the conversation is longer than the model takes: {said}", retry=False, other_model=True)
    if status == 402 or (status == 429 and codes & _QUOTA_CODES):
        return Fault(f"{place}: the quota or spend limit is used up: {said}", retry=False, other_model=True)
    if status in BUSY:
        return Fault(f"{place}: busy: {said}", retry=True, wait=retry_after(headers))
    if status in PASSING:
        return Fault(f"{place}: {said}", retry=True)
    if status in (401, 403):
        mend = f"check {endpoint.key_setting}, and that its project may use {endpoint.model}"
        return Fault(f"{place}: {said}; {mend}", retry=False, other_model=True)
    if status in (400, 404, 422):
        argument = f" (argument {error['param']})" if error.get("param") else ""
        return Fault(f"{place}: {said}{argument}", retry=False, other_model=status == 404)
    return Fault(f"{place}: {said}", retry=attempt < UNKNOWN_ATTEMPTS, unknown=True)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> timedelta:
    """How long to wait: `retry-after-ms`, `Retry-After` (seconds or a date), the reset headers; with some jitter, so
    that those who were sent away together do not come back together."""
    wait = _told(headers, now or datetime.now(UTC))
    seconds = BUSY_SECONDS if wait is None else min(wait, MAX_WAIT).total_seconds()
    return timedelta(seconds=seconds * (1 + random.random() / 4))  # noqa: S311 -- jitter


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
        number = None if text is None else float(text)
    except ValueError:
        return None
    return (
        None if number is None or not math.isfinite(number) else min(max(0.0, number), MAX_WAIT.total_seconds() * 1e3)
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]


def _without_keys(text: str, endpoint: Endpoint) -> str:
    """Endpoints repeat a key they refuse."""
    hidden = text.replace(endpoint.key, "[key]") if endpoint.key != NO_KEY else text
    return _KEY.sub("[key]", hidden)


def _cause(error: Exception) -> str:
    return _line(str(error.__cause__ or error))
