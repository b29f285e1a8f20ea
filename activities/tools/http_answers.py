"""What the answer of an HTTP service means: an output, or a failure of one of three kinds."""

import json
import math
from collections.abc import Iterable

import httpx2
from pydantic_core import from_json

from activities.answers import retry_after, short
from activities.tools.context import REDACTED
from contracts.base import Json
from contracts.tools import ToolError

_NOT_DONE = frozenset({408, 425, 429, 503})
"""Answers that say the request was not carried out, and may be later."""


class Unanswered(Exception):
    """The request was sent; whether it was carried out is not known."""


class Unreadable(Exception):
    """The request was answered with success, in a way that nobody can use."""


class Answered(Exception):
    """The host answered, and not with success. `secrets`: of the request, which no message may hold, even in part."""

    def __init__(self, answer: httpx2.Response, secrets: Iterable[str] = ()) -> None:
        super().__init__(answer.status_code)
        self.status = answer.status_code
        text = " ".join(_shown_text(answer).split())
        for secret in secrets:
            text = text.replace(secret, REDACTED)
        said = short(text)
        message = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.reason_phrase}"
        message += f": {said}" if said else ""
        self.meaning: Exception
        if self.status in _NOT_DONE:
            self.meaning = ToolError(message, after=retry_after(answer.headers))
        elif self.status >= 500:
            self.meaning = Unanswered(message)
        else:
            self.meaning = ToolError(message, retry=False)


def output_of(answer: httpx2.Response) -> Json:
    """Raises: Unreadable."""
    if not answer.content:
        return None
    host = answer.request.url.host
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return _json(answer.content)
        except ValueError as error:
            raise Unreadable(f"{host} answered what is not the JSON it says: {error}") from error
    try:
        return _text(answer)
    except (ValueError, LookupError) as error:
        raise Unreadable(f"{host} answered {kind or 'bytes'}, which is neither JSON nor text") from error


def _json(content: bytes) -> Json:
    """Raises: ValueError, also for what only some programs take for JSON: NaN, half a character, endless nesting."""
    text = content.decode(json.detect_encoding(content))
    found: Json = from_json(text, allow_inf_nan=False)
    _check_finite(found)
    return found


def _check_finite(value: Json) -> None:
    """`1e999` is JSON, and no number that could be passed on."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is larger than a number can be")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_finite(each)


def _text(answer: httpx2.Response) -> str:
    """Raises: ValueError or LookupError, when it is not in the encoding it names."""
    return answer.content.decode(answer.charset_encoding or "utf-8")


def _shown_text(answer: httpx2.Response) -> str:
    try:
        return _text(answer)
    except (ValueError, LookupError):
        return answer.content.decode("utf-8", errors="replace")
