"""What an agent may call: patterns of tools, each perhaps with constraints on the arguments."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from contracts.base import Json

Constraints = Mapping[str, Json]
"""By argument: text that begins with a comparison (`<= 500`, `in ['EUR']`), a whole `${ CEL }` of `value` and `args`,
a list of what it may be, or else exactly what it is. An argument that is not given satisfies none."""


def _grant(value: Any) -> str | dict[str, dict[str, Json]]:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((pattern, constraints),) = value.items()
        if isinstance(pattern, str) and isinstance(constraints, dict) and constraints:
            return {pattern: constraints}
    raise ValueError('a grant is a tool, or one tool with its constraints: `bank.transfer: {amount: "<= 500"}`')


_CONSTRAINED = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": {"type": "object", "minProperties": 1},
}

Grant = Annotated[
    str | dict[str, dict[str, Json]],
    PlainValidator(_grant),
    WithJsonSchema({"anyOf": [{"type": "string"}, _CONSTRAINED]}),
]
"""A pattern of tools, or one pattern with constraints on its arguments. Any one that covers a call is enough."""


def pattern_of(grant: Grant) -> str:
    return grant if isinstance(grant, str) else next(iter(grant))


def constraints_of(grant: Grant) -> Constraints:
    return {} if isinstance(grant, str) else next(iter(grant.values()))
