"""What must not be read in a log: values of secrets that are known, and what has a secret's shape."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, urlsplit

from contracts.secrets import variable_of
from runtime.settings import Settings

SECRET_NAME = re.compile(r"(?i)(authorization|api[_-]?key|password|passwd|secret|token)$")
"""Of a field or a variable that holds a secret."""

REDACTED = "[secret]"
SECRET_PREFIX = "SUREFOOT_SECRET_"  # noqa: S105 - the name of settings, not a secret

SHORTEST = 4
"""A shorter value would be found in words that are none."""

SHORTEST_GUESSED = 8
"""Of variables that only look like secrets by their names."""

_GUESSED = re.compile(r"(?i)(api_?key|password|passwd|secret|token|secret_?access_?key|private_?key)$")
_SHAPES = (
    # A word may follow too: `basic information`. A token has a digit, or is longer than words are.
    (re.compile(r"(?i)\b(bearer|basic)(?:\s+|%20)(?:(?=\S*\d)[\w.~+/=-]{8,}|[\w.~+/=-]{24,})"), rf"\1 {REDACTED}"),
    (re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}"), REDACTED),
    (re.compile(r"(://[^/\s:@'\"]*):[^/\s@'\"]+@"), rf"\1:{REDACTED}@"),
    (re.compile(r"(/decide/)[A-Za-z0-9_-]{40,}"), rf"\1{REDACTED}"),
)

Redactor = Callable[[str], str]


def redactor(settings: Settings, environment: Mapping[str, str]) -> Redactor:
    """Takes secrets out of a text: those the settings refer to, those in the environment, and what looks like one."""
    known = _known(settings, environment)
    found = re.compile("|".join(re.escape(each) for each in sorted(known, key=len, reverse=True))) if known else None

    def redact(text: str) -> str:
        return without_shapes(found.sub(REDACTED, text) if found else text)

    return redact


def without_shapes(text: str) -> str:
    """Without bearer tokens, API keys and passwords in URLs, as far as they can be told by their shape."""
    for shape, shown in _SHAPES:
        text = shape.sub(shown, text)
    return text


def _known(settings: Settings, environment: Mapping[str, str]) -> set[str]:
    encryption = settings.encryption
    references = [*encryption.keys.values(), encryption.codec_token, settings.conversations.password]
    references += settings.links.keys
    named = {variable_of(reference) for reference in references if reference}
    named |= {alias.key_env for alias in settings.models.values()}
    named |= {name for name in environment if name.startswith(SECRET_PREFIX)}
    values = {environment[name] for name in named if len(environment.get(name, "")) >= SHORTEST}
    for name, value in environment.items():
        if _GUESSED.search(name) and len(value) >= SHORTEST_GUESSED:
            values.add(value)
        if password := _password_in(value):
            values.add(password)
    return {form for value in values for form in _forms(value)}


def _password_in(value: str) -> str | None:
    if "://" not in value:
        return None
    try:
        password = urlsplit(value).password
    except ValueError:
        return None
    return password if password and len(password) >= SHORTEST else None


def _forms(value: str) -> Iterable[str]:
    """A secret as it is, and as JSON, a Python literal or a URL shows it."""
    stripped = value.strip()
    written = (json.dumps(stripped), json.dumps(stripped, ensure_ascii=False), repr(stripped))
    return [value, stripped, *(text[1:-1] for text in written), quote(stripped, safe="")]
