"""The base of every model that crosses a boundary, and the durations and JSON values they hold."""

import re
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)
from pydantic_core import from_json, to_json

# A value that JSON can hold. `Any` because pydantic's recursive JsonValue costs a Python-level walk per payload.
Json: TypeAlias = Any

Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", description="words joined by dots")]
JsonSchema = Annotated[dict[str, Any], Field(description="JSON Schema")]
Expression = Annotated[str, Field(description="${ CEL }")]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORT = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ISO = re.compile(
    r"P(?:(?P<weeks>\d+(?:\.\d+)?)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


MAX_DEPTH = 100
"""Levels of a value from outside. What reads JSON stops at 200, and what carries a value has levels of its own."""


class Unreadable:
    """What came in place of a value, and is no JSON that can be read. `why`: for a person."""

    def __init__(self, why: str) -> None:
        self.why = why


def nests_too_deep(value: Json) -> bool:
    """Whether a JSON value is nested deeper than `MAX_DEPTH`."""
    try:
        return is_too_deep(to_json(value))
    except ValueError:  # so deep that it cannot even be written
        return True


def is_too_deep(text: bytes) -> bool:
    """The same of its text."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    try:
        level = [from_json(text)]
    except ValueError:
        return True
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return any(isinstance(value, dict | list) for value in level)


LONGEST = timedelta(days=36_500)
"""Of any duration; what lies further ahead than a calendar goes cannot be waited for."""


class Contract(BaseModel):
    """An immutable value with no unknown keys, written and read by its outside names (`with`, not `with_`)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )


class Lean(Contract):
    """One whose JSON leaves out what is as it is by default: for what goes into the history at every turn."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if getattr(self, name) != fields[name].default}


def parse_duration(value: object) -> timedelta:
    """Read `90s`, `15m`, `4h`, `3d`, `1h30m` or ISO 8601 (`PT15M`).

    Raises:
        ValueError: the value is none of these.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (found := _read_duration(value.strip())) is not None:
        if found > LONGEST:
            raise ValueError(f"{value!r} is longer than {LONGEST.days} days")
        return found
    raise ValueError(f"{value!r} is no duration; write 90s, 15m, 4h, 3d or ISO 8601 such as PT15M")


def _read_duration(text: str) -> timedelta | None:
    try:
        if _SHORT.fullmatch(text):
            return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
        if (match := _ISO.fullmatch(text)) and any(match.groupdict().values()):
            return timedelta(**{unit: float(number) for unit, number in match.groupdict().items() if number})
    except OverflowError:
        return timedelta.max
    return None


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back: `1d2h`, `90s` as `1m30s`, `0s`."""
    milliseconds = round(value.total_seconds() * 1000)
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^((\d+(\.\d+)?(ms|s|m|h|d))+|P.+)$",
            "description": "90s, 15m, 4h, 3d, 1h30m or ISO 8601 (PT15M)",
        }
    ),
]


def canonical(value: Any) -> Any:
    """The value with the keys of its objects sorted, so that equal values have equal JSON."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, list | tuple) else value
