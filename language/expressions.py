"""`${ CEL }` inside JSON values: finding expressions, what they refer to, and their values.

CEL is evaluated by `common-expression-language` (a binding of cel-rust): no I/O, no clock, bounded by the expression.
"""

import base64
import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic_core import to_json

from contracts.base import Json, format_duration
from contracts.errors import ExpressionFailed
from language.macros import execute, program
from language.uses import STRING, keys_used

StepLookup = Callable[[str], Json]
"""`steps.ID` of an expression: the step's `{"output": ..., "status": ...}`."""

_MISSING = object()
_AS_IT_IS = frozenset({str, int, bool, type(None)})
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_PLACE = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n|]*)")


MAX_EXPRESSION = 2_000
"""Characters of one expression: the CEL library recurses, and a deep enough nesting ends the process."""


class UnclosedExpression(ValueError):
    """A `${` without its `}`. `offset`: its index in the text."""

    def __init__(self, offset: int) -> None:
        super().__init__("`${` is never closed with `}`")
        self.offset = offset


def split(text: str) -> tuple[tuple[int, str, bool], ...]:
    """The parts of a text in order: (index in the text, content, is an expression). `$${` is a literal `${`.

    Raises:
        UnclosedExpression: a `${` has no `}`.
    """
    return _split(text)


@lru_cache(maxsize=32_768)
def _split(text: str) -> tuple[tuple[int, str, bool], ...]:
    if "${" not in text:
        return ((0, text, False),) if text else ()
    parts: list[tuple[int, str, bool]] = []
    literal, position = "", 0
    while (start := text.find("${", position)) >= 0:
        if start > position and text[start - 1] == "$":
            literal += text[position : start - 1] + "${"
            position = start + 2
            continue
        literal += text[position:start]
        if literal:
            parts.append((position, literal, False))
        end = _closing(text, start + 2)
        if end is None:
            raise UnclosedExpression(start)
        inner = text[start + 2 : end]
        parts.append((start + 2 + len(inner) - len(inner.lstrip()), inner.strip(), True))
        literal, position = "", end + 1
    literal += text[position:]
    if literal:
        parts.append((position, literal, False))
    return tuple(parts)


def _closing(text: str, position: int) -> int | None:
    depth = 0
    while position < len(text):
        if text[position] in "'\"" and (string := STRING.match(text, position)):
            position = string.end()
            continue
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    return None


def texts(value: Json) -> Iterator[str]:
    """Every string in a JSON value, keys of objects left out."""
    match _shape(type(value)):
        case "text":
            yield value
        case "object":
            for item in value.values():
                yield from texts(item)
        case "list":
            for item in value:
                yield from texts(item)


def expressions_in(value: Json) -> list[str]:
    """The CEL texts inside a JSON value.

    Raises:
        UnclosedExpression: a `${` has no `}`.
    """
    return [content for text in texts(value) for _, content, is_expression in split(text) if is_expression]


def _shape_of(of: type) -> Literal["text", "object", "list", "scalar"]:
    """What values of a type are in JSON."""
    if issubclass(of, str):
        return "text"
    if issubclass(of, Mapping):
        return "object"
    return "list" if issubclass(of, list | tuple) else "scalar"


_shape: Callable[[type], Literal["text", "object", "list", "scalar"]] = lru_cache(_shape_of)
"""Remembered, since Temporal's sandbox makes `isinstance` and `issubclass` slow."""


@lru_cache(maxsize=32_768)
def steps_used(expression: str) -> frozenset[str]:
    """The ids in `steps.ID` and `steps['ID']`."""
    return frozenset(name for name in keys_used("steps", expression) if name)


def uses_steps_dynamically(expression: str) -> bool:
    """Whether `steps` is used other than as `steps.ID`, so that what is needed cannot be known beforehand."""
    return not all(keys_used("steps", expression))


@lru_cache(maxsize=32_768)
def _variables(expression: str) -> frozenset[str]:
    return frozenset(program(expression).variables())


@lru_cache(maxsize=32_768)
def names_used(expression: str) -> frozenset[str]:
    """The top-level names an expression uses, without those it binds itself, as the `x` of `list.map(x, ...)`.

    Raises:
        ValueError: the expression is no CEL.
    """
    used = _variables(expression)
    bare = STRING.sub("''", expression)
    bound = re.findall(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,", bare)
    return used - frozenset(bound)


def mentions(value: Json, *names: str) -> bool:
    """Whether any expression of a JSON value uses one of these names."""
    return any(not names_used(expression).isdisjoint(names) for expression in expressions_in(value))


def syntax_error(expression: str) -> tuple[str, int, int] | None:
    """(message, 1-based line, 1-based column) of what keeps a text from being CEL, or None."""
    if not expression.strip():
        return ("the expression is empty", 1, 1)
    if len(expression) > MAX_EXPRESSION:
        return (f"it has {len(expression)} characters; at most {MAX_EXPRESSION} are taken", 1, 1)
    try:
        program(expression)
    except ValueError as error:
        if place := _PLACE.search(str(error)):
            return (place.group(3).split(" expecting {")[0].strip(), int(place.group(1)), int(place.group(2)))
        return (str(error).splitlines()[0], 1, 1)
    return None


def evaluate(value: Json, names: Mapping[str, Any], step: StepLookup | None = None) -> Json:
    """Fill in every `${ }` of a JSON value. A string that is one whole expression keeps the type of its value;
    inside longer text the value is put in as text.

    Raises:
        ExpressionFailed: an expression cannot be evaluated; the message names it and what was missing.
    """
    match _shape(type(value)):
        case "text":
            return _fill_in(value, names, step)
        case "object":
            return {key: evaluate(item, names, step) for key, item in value.items()}
        case "list":
            return [evaluate(item, names, step) for item in value]
    return value


def _fill_in(text: str, names: Mapping[str, Any], step: StepLookup | None) -> Json:
    parts = split(text)
    if len(parts) == 1:
        _, content, is_expression = parts[0]
        return run(content, names, step) if is_expression else content
    return "".join(as_text(run(part, names, step)) if is_expression else part for _, part, is_expression in parts)


def truth(condition: str | bool, names: Mapping[str, Any], step: StepLookup | None = None) -> bool:
    """The value of a condition such as `${ input.amount > 1000 }`.

    Raises:
        ExpressionFailed: it cannot be evaluated, or is neither true nor false.
    """
    value = evaluate(condition, names, step)
    if not isinstance(value, bool):
        raise ExpressionFailed(f"{condition} gives {as_text(value)[:200]!r}; a condition must give true or false")
    return value


def run(expression: str, names: Mapping[str, Any], step: StepLookup | None = None) -> Json:
    """The value of one CEL text, as JSON.

    Raises:
        ExpressionFailed: it cannot be evaluated.
    """
    used = {name: step(name) for name in steps_used(expression)} if step else {}
    known = {**names, "steps": used} if used else names
    try:
        return _follow(expression, known)
    except LookupError:
        pass  # CEL says what is wrong, or computes it
    try:
        # Only what is asked for: a context is converted as a whole, however large the run's input is.
        context = {name: known[name] for name in _variables(expression) if name in known}
        return _json(execute(expression, context))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ExpressionFailed(_explain(expression, error, used), {"expression": expression}) from error


def as_text(value: Json) -> str:
    """A JSON value inside text: strings as they are, whole numbers without a fraction, the rest as JSON."""
    if isinstance(value, str):
        return value
    if type(value) is float and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return to_json(value).decode()


def _follow(expression: str, names: Mapping[str, Any]) -> Json:
    """The value at a plain path such as `input.rows`: as it is, since CEL takes 30 µs to convert a row there and back.

    Raises:
        LookupError: it is no plain path, or does not lead to a JSON value.
    """
    if not _PATH.fullmatch(expression):
        raise LookupError(expression)
    value: Any = names
    for part in expression.split("."):
        value = value[part] if isinstance(value, Mapping) else _MISSING
    if value is None or isinstance(value, str | int | float | dict | list):
        return value
    raise LookupError(expression)


def _json(value: Any) -> Json:
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.timedelta):
        return format_duration(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the result is {value}, which is no number that JSON has")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


def _explain(expression: str, error: Exception, used: Mapping[str, Json]) -> str:
    empty = sorted(name for name, step in used.items() if step.get("output") is None)
    if isinstance(error, TypeError) and empty:
        reason = ", ".join(f"steps.{name}.output is null (the step is {used[name].get('status')})" for name in empty)
    elif isinstance(error, TypeError):
        reason = "the operand types do not go together; convert them with int(x), double(x) or string(x)"
    elif isinstance(error, KeyError):
        reason = f"there is no field {error.args[0]!r}"
    else:
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
    return f"${{ {expression} }} could not be evaluated: {reason}"
