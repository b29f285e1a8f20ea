"""Whether a grant covers a call: its constraints on the arguments."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from pydantic_core import to_json

from contracts.base import Json
from contracts.errors import ExpressionFailed
from contracts.grants import Constraints, Grant, constraints_of
from contracts.tools import granted
from language import expressions

_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>|in\s)")


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
            yield f"{_in_words(name, constraint)}; {name} is {shown(args[name])}"


def holds(constraint: Json, value: Json, args: Mapping[str, Json]) -> bool:
    """Whether an argument satisfies a constraint. What cannot be compared does not."""
    condition = condition_of(constraint)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if condition is not None:
        try:
            return expressions.run(condition, {"value": value, "args": dict(args)}) is True
        except (ExpressionFailed, OverflowError):
            return False
    allowed = constraint if isinstance(constraint, list | tuple) else (constraint,)
    return any(_equal(value, one) for one in allowed)


def condition_of(constraint: Json) -> str | None:
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
    if condition_of(constraint) is not None:
        return f"{name} fits {constraint}"
    return f"{name} is {'one of ' if isinstance(constraint, list | tuple) else ''}{shown(constraint)}"


def shown(value: Json) -> str:
    text = to_json(value).decode()
    return text if len(text) <= 100 else f"{text[:97]}..."
