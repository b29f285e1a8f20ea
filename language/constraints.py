"""Grants with constraints on arguments: what is wrong with them in a file, and whether one covers a call."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cel
from pydantic_core import to_json

from contracts.base import Json
from contracts.errors import ExpressionFailed
from contracts.grants import Constraints, Grant, constraints_of
from contracts.tools import ToolSpec, granted
from language import expressions
from language.references import FUNCTIONS
from language.schema import violations
from language.structure import close

NAMES = frozenset({"value", "args"})
_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>|in\s)")
_ARGUMENT = re.compile(r"(?<![\w.])args\s*\.\s*(\w+)")


def refusal(grants: Iterable[Grant], tool: str, args: Mapping[str, Json]) -> str | None:
    """Why no grant covers a call, for the model to read; None when one does."""
    unmet: list[str] = []
    for grant in grants:
        if granted((grant,), (tool,)):
            missing = list(_unmet(constraints_of(grant), args))
            if not missing:
                return None
            unmet.append(" and ".join(missing))
    if not unmet:
        return f"{tool} is not granted"
    return f"{tool} is granted only where {', or where '.join(unmet)}"


def _unmet(constraints: Constraints, args: Mapping[str, Json]) -> Iterator[str]:
    for name, constraint in constraints.items():
        if name not in args:
            yield f"{_in_words(name, constraint)}; {name} is not given"
        elif not holds(constraint, args[name], args):
            yield f"{_in_words(name, constraint)}; {name} is {_shown(args[name])}"


def holds(constraint: Json, value: Json, args: Mapping[str, Json]) -> bool:
    """Whether an argument satisfies a constraint. What cannot be compared does not."""
    condition = _condition(constraint)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if condition is not None:
        try:
            return expressions.run(condition, {"value": value, "args": dict(args)}) is True
        except (ExpressionFailed, OverflowError):
            return False
    allowed = constraint if isinstance(constraint, list | tuple) else (constraint,)
    return any(_equal(value, one) for one in allowed)


def problems(name: str, constraint: Json, specs: Iterable[ToolSpec]) -> Iterator[tuple[str, str]]:
    """(message, hint) for what is wrong with the constraint of an argument, given the tools that it is for."""
    properties = _properties(specs)
    if name not in properties:
        yield f"no tool that is granted here takes an argument `{name}`", close(name, properties)
        return
    condition = _condition(constraint)
    if condition is None:
        yield from _unlike(name, constraint, properties[name])
    elif wrong := expressions.syntax_error(condition):
        yield f"`{constraint}` is no constraint: {wrong[0]}", "write `<= 500`, `in ['EUR', 'USD']` or a whole ${ CEL }"
    else:
        for unknown in sorted(expressions.names_used(condition) - NAMES):
            yield f"unknown name `{unknown}`", f"in scope here: args, value (which is `{name}`); text goes in quotes"
        for unknown in sorted(text for text in cel.compile(condition).functions() if text.isidentifier()):
            if unknown not in FUNCTIONS:
                yield f"unknown function `{unknown}`", close(unknown, FUNCTIONS)
        for unknown in sorted(set(_ARGUMENT.findall(condition)) - properties.keys()):
            yield f"no tool that is granted here takes an argument `{unknown}`", close(unknown, properties)


def _unlike(name: str, constraint: Json, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Values that the argument can never have."""
    for one in constraint if isinstance(constraint, list | tuple) else (constraint,):
        for wrong in violations(dict(schema), one):
            yield f"`{name}` can never be {_shown(one)}: {wrong}", "a comparison is text that begins with its sign"


def _properties(specs: Iterable[ToolSpec]) -> dict[str, dict[str, Any]]:
    """The arguments of all these tools, each with its schema."""
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        for name, schema in spec.parameters.get("properties", {}).items():
            found.setdefault(name, {**schema, "$defs": spec.parameters.get("$defs", {})})
    return found


def _condition(constraint: Json) -> str | None:
    """The CEL of a constraint, with the argument as `value`; None when it is a plain value."""
    if not isinstance(constraint, str):
        return None
    if _COMPARISON.match(constraint):
        return f"value {constraint.strip()}"
    text = constraint.strip()
    return text[2:-1].strip() if text.startswith("${") and text.endswith("}") else None


def _equal(one: Json, other: Json) -> bool:
    """Equality of JSON: `1` is `1.0` and not `true`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _in_words(name: str, constraint: Json) -> str:
    if isinstance(constraint, str) and _COMPARISON.match(constraint):
        return f"{name} {constraint.strip()}"
    if _condition(constraint) is not None:
        return f"{name} fits {constraint}"
    return f"{name} is {'one of ' if isinstance(constraint, list | tuple) else ''}{_shown(constraint)}"


def _shown(value: Json) -> str:
    text = to_json(value).decode()
    return text if len(text) <= 100 else f"{text[:97]}..."
