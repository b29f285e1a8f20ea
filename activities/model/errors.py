"""What each answer of an endpoint that is no answer means: retry, when; the next model; or never.

The table is that of the project's bars; see `docs/models.md`. Endpoints that call themselves compatible differ in codes
and words, so both are looked at; what they really answer is in `tests/activities/model/recorded/`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx2
import openai

from activities.answers import sent_at
from activities.model.endpoints import NO_KEY, Endpoint
from contracts.model import Usage

Kind = Literal[
    "passing",  # no connection, no answer in time, 5xx: tried again, later and later
    "busy",  # tried again no sooner than told; uses up no attempt
    "held",  # not asked at all: a breaker or a limit stands before it; uses up no attempt
    "spent",  # the quota or a spend limit is used up
    "too_long",  # the conversation does not fit the model
    "mistaken",  # the request is wrong, and stays so
    "missing",  # there is no such model or path
    "no_access",  # the key is wrong, or may not
    "filtered",  # stopped by a content filter, which is an outcome
    "slip",  # what the model did was no good, or what an agent of another framework did; another try may do
    "unknown",  # in no table
]

ANOTHER_MODEL = frozenset({"held", "spent", "too_long", "missing", "no_access"})
"""What the next model of a chain may not suffer from."""

LONG_WAIT = timedelta(minutes=1)
"""For an answer that comes later than this, the next model of a chain is asked."""

BUSY = frozenset({429, 503, 529})

MAX_WAIT = timedelta(days=1)
"""No endpoint means more than this; what says so is as if it said this."""

_SHOWN = 300
_TELLING = 8
"""Characters of a key's beginning that tell it from any word."""

_PASSING_CLIENT_ERRORS = frozenset({408, 409, 425})
_SPENT = re.compile(
    r"insufficient_quota|billing_hard_limit_reached|billing_not_active|quota_exceeded"
    r"|insufficient (balance|credit|funds)|credit balance is too low|spend(ing)? limit|out of credits",
    re.I,
)
_QUOTA_IN_WORDS = re.compile(r"exceeded your (current|monthly) quota", re.I)
"""Said of spent money, and by others of a rate: then with the time after which to ask again."""

_FILTERED = re.compile(r"content_filter|content_policy|ResponsibleAIPolicyViolation|content management policy", re.I)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context[ _](length|size|window)|maximum context|exceed_context_size|exceed context limit"
    r"|(prompt|input) is too long|string_above_max_length|(too large for|request too large for) model"
    r"|context the overflows|n_keep.*n_ctx|inputs` tokens \+ `max_new_tokens|max_tokens must be at least 1, got -"
    r"|maximum (input|prompt) length|exceeds? the (model's )?max(imum)? (number of )?(input )?tokens",
    re.I,
)
_OVER_A_LIMIT = re.compile(r"limit:? (\d+)\b.*?requested:? ~?(\d+)", re.I)
_NO_KEY_IN_400 = re.compile(r"api[ _]key not valid|API_KEY_INVALID|invalid api key|incorrect api key", re.I)
_SLIP = re.compile(r"tool_use_failed")
"""The model, and not the request, did something wrong: another try may do."""

_BUSY_CODES = re.compile(r"rate_limit|rate_limited|server_is_overloaded|overloaded_error|resource_exhausted", re.I)
_FAILED_CODES = re.compile(r"server_error|internal_error|api_error", re.I)
_MISSING = re.compile(r"model_not_found|model .*(not found|does not exist)", re.I)
_TITLE = re.compile(r"<title[^>]*>(.{0,200}?)</title>", re.I | re.S)
_KEY = re.compile(r"\b(sk|gsk|xai|pplx|nvapi|AIza|hf)[-_][\w*-]{6,}")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_IN_WORDS = re.compile(r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)\b", re.I)
_SECONDS_IN_WORDS = re.compile(r"(?:try again|retry) (?:in|after) (\d+(?:\.\d+)?) seconds?", re.I)


class Malformed(Exception):
    """An endpoint answered, but not with what its API promises. `usage`: what it wants to be paid for all the same."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


class Complained(Exception):
    """An endpoint answered 200 with an error inside."""

    @classmethod
    def look_at(cls, data: Mapping[str, Any]) -> None:
        """Raises:
        Complained: of the answer, or of what it broke off.
        """
        if data.get("error"):
            raise cls(data["error"])
        choices = data.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(first, Mapping) and (first.get("error") or first.get("finish_reason") == "error"):
            raise cls(first.get("error") or {"message": "the answer broke off", "type": "server_error"})

    def __init__(self, error: object) -> None:
        super().__init__("the answer holds an error")
        self.error: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}


@dataclass(frozen=True)
class Fault:
    """Why there is no answer. `wait`: ask again no sooner. `broken`: it speaks against the endpoint."""

    kind: Kind
    message: str
    wait: timedelta | None = None
    broken: bool = False

    @property
    def other_model(self) -> bool:
        return self.kind in ANOTHER_MODEL or (self.wait is not None and self.wait > LONG_WAIT)


@dataclass(frozen=True)
class _Said:
    """An error as an endpoint put it. `words`: its codes and message in one."""

    status: int
    message: str
    words: str
    argument: str
    headers: Mapping[str, str]


def classify(error: Exception, endpoint: Endpoint) -> Fault | None:
    """What an error of the client means; None for one that is no matter of the endpoint's. No message holds a key."""
    fault = _classify(error, endpoint)
    return fault and replace(fault, message=_without_keys(fault.message, endpoint))


def _classify(error: Exception, endpoint: Endpoint) -> Fault | None:
    if isinstance(error.__cause__, httpx2.ConnectTimeout):
        return Fault("passing", f"{endpoint}: no connection in time", broken=True)
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        seconds = f"{endpoint.timeout.total_seconds():g} s"
        return Fault("passing", f"{endpoint}: no answer in time ({seconds})", broken=True)
    if isinstance(error, openai.APIConnectionError):
        return Fault("passing", f"{endpoint}: no connection ({_cause(error)})", broken=True)
    if isinstance(error, openai.APIStatusError):
        return _meaning(_said(error.status_code, error.body or error.message, error.response.headers), endpoint)
    if isinstance(error, Complained):
        said = _said(200, error.error, {})
        return _meaning(replace(said, status=_status_of(said, error.error)), endpoint)
    if isinstance(error, Malformed | openai.APIError | ValueError):
        mend = "check its URL, which usually ends in /v1"
        return Fault("unknown", f"{endpoint} gave an answer that cannot be read: {_line(str(error))}; {mend}")
    return None


def _said(status: int, body: object, headers: Mapping[str, str]) -> _Said:
    """`body`: the `error` object of an answer, or what stands in its place: other objects, text, lists."""
    error = _error_in(body)
    message = error.get("message") or error.get("detail") or error.get("title") or ""
    if isinstance(message, Mapping):
        message = message.get("detail") or str(message)
    mistakes = message if isinstance(message, list) else []
    text = "; ".join(_mistake(each) for each in mistakes) or str(message)
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("raw"):  # another endpoint's words, passed on
        text = f"{text}: {metadata['raw']}"
    codes = [error.get(key) for key in ("code", "type", "type_", "status")]
    inner = error.get("innererror")
    codes.append(inner.get("code") if isinstance(inner, Mapping) else None)
    argument = error.get("param") or next((_place(each) for each in mistakes), "")
    return _Said(status, _line(text) or "no reason given", f"{codes} {text}", _line(str(argument)), headers)


def _error_in(body: object) -> Mapping[str, Any]:
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error: Mapping[str, Any] = body if isinstance(body, Mapping) else {"message": body}
    inside = error.get("error")
    if inside and not error.get("message"):
        return inside if isinstance(inside, Mapping) else {**error, "message": inside}
    return error


def _mistake(mistake: object) -> str:
    """One of a list of mistakes, as FastAPI gives them: `{"loc": ["body", "messages"], "msg": "Field required"}`."""
    if not isinstance(mistake, Mapping):
        return str(mistake)
    return f"{_place(mistake)}: {mistake.get('msg', '')}"


def _place(mistake: object) -> str:
    place = mistake.get("loc") if isinstance(mistake, Mapping) else None
    return ".".join(str(part) for part in place if part != "body") if isinstance(place, list | tuple) else ""


def _meaning(said: _Said, endpoint: Endpoint) -> Fault:  # noqa: PLR0911 -- the table, a line for each row
    place = f"{endpoint} answered {said.status}"
    text = f"{place}: {said.message}"
    if _SLIP.search(said.words):
        return Fault("slip", text)
    if said.status < 500 and _FILTERED.search(said.words):
        return Fault("filtered", text)
    if _is_too_long(said):
        return Fault("too_long", f"{place}: the conversation is longer than the model takes: {said.message}")
    if said.status == 402 or (said.status in (400, 403, 429) and _is_spent(said)):
        return Fault("spent", f"{place}: the quota or spend limit is used up: {said.message}")
    if said.status in BUSY:
        return Fault("busy", f"{place}: busy: {said.message}", told(said), broken=said.status >= 500)
    if said.status >= 500 or said.status in _PASSING_CLIENT_ERRORS:
        return Fault("passing", text, broken=said.status >= 500 or said.status == 408)
    if said.status in (401, 403) or (said.status == 400 and _NO_KEY_IN_400.search(said.words)):
        mend = f"check {endpoint.key_setting}, and that its project may use {endpoint.model}"
        return Fault("no_access", f"{text}; {mend}")
    if said.status == 404 or (said.status == 400 and _MISSING.search(said.words)):
        return Fault("missing", f"{text}; check models.{endpoint.alias}.model and base_url, which usually ends in /v1")
    if said.status in (400, 413, 422):
        return Fault("mistaken", text + (f" (argument {said.argument})" if said.argument else ""))
    return Fault("unknown", text)


def _is_spent(said: _Said) -> bool:
    return bool(_SPENT.search(said.words) or (_QUOTA_IN_WORDS.search(said.words) and told(said) is None))


def _is_too_long(said: _Said) -> bool:
    """Also a request that alone is above a limit of tokens a minute: no waiting makes it fit."""
    if said.status in (400, 413, 422, 500) and _TOO_LONG.search(said.words):
        return True
    over = _OVER_A_LIMIT.search(said.message) if said.status in (413, 429) else None
    return over is not None and int(over[2]) > int(over[1])


def _status_of(said: _Said, error: Mapping[str, Any]) -> int:
    """The status an error inside an answer of 200 would have had."""
    code = error.get("code")
    if isinstance(code, int | str) and str(code).isdigit() and 400 <= int(code) < 600:
        return int(code)
    for pattern, status in (
        (_SPENT, 429),
        (_FILTERED, 400),
        (_TOO_LONG, 400),
        (_BUSY_CODES, 503),
        (_MISSING, 404),
        (_FAILED_CODES, 500),
    ):
        if pattern.search(said.words):
            return status
    return said.status


def told(said: _Said) -> timedelta | None:
    """How long an endpoint says to wait: `retry-after-ms`, `Retry-After` (seconds or a date), in words, or the reset of
    the limit that is used up. None when it says nothing that makes sense."""
    wait = _told(said.headers, said.message, sent_at(said.headers))
    return None if wait is None else min(wait, MAX_WAIT)


def _told(headers: Mapping[str, str], message: str, now: datetime) -> timedelta | None:
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
    if (words := _SECONDS_IN_WORDS.search(message)) is not None:
        return timedelta(seconds=float(words[1]))
    if (words := _IN_WORDS.search(message)) is not None:
        return _duration(words[1])
    resets = [_reset(headers, what) for what in ("requests", "tokens")]
    return max((reset for reset in resets if reset is not None), default=None)


def _reset(headers: Mapping[str, str], what: str) -> timedelta | None:
    """When a limit is whole again, unless it is not the one that is used up."""
    if headers.get(f"x-ratelimit-remaining-{what}", "0") not in ("0", "0.0") and (
        headers.get("x-ratelimit-remaining-requests") == "0" or headers.get("x-ratelimit-remaining-tokens") == "0"
    ):
        return None
    return _duration(headers.get(f"x-ratelimit-reset-{what}"))


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
    title = _TITLE.search(text) if text.lstrip()[:1] == "<" else None
    shown = f"an HTML page, {title[1].strip()!r}" if title else text[: 10 * _SHOWN]
    return " ".join(shown.split())[:_SHOWN]


def _without_keys(text: str, endpoint: Endpoint) -> str:
    """Endpoints repeat a key they refuse."""
    hidden = text
    if len(endpoint.key) >= 2 * _TELLING:  # what is shown of an answer may end in the midst of the key
        hidden = re.sub(re.escape(endpoint.key[:_TELLING]) + r"[^\s'\";,)]*", "[key]", text)
    elif endpoint.key != NO_KEY:
        hidden = text.replace(endpoint.key, "[key]")
    return _KEY.sub("[key]", hidden)


def _cause(error: Exception) -> str:
    return _line(str(error.__cause__ or error))
