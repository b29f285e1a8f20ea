"""JSON Schema checks with messages for people. Draft 2020-12 unless `$schema` says otherwise; nothing is fetched."""

import re
from functools import lru_cache
from typing import Any

import jsonschema_rs
from pydantic_core import from_json, to_json

from contracts.base import Json
from contracts.plain import abridged

MAX_VIOLATIONS = 20
MAX_QUOTED = 1_000
"""Characters of a violation, which quotes the value that does not fit before it says why."""
WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        type enum const format default examples id title description deprecated readOnly writeOnly definitions
        properties patternProperties additionalProperties unevaluatedProperties propertyNames
        minProperties maxProperties required dependentRequired dependentSchemas dependencies
        items prefixItems additionalItems unevaluatedItems minItems maxItems uniqueItems
        contains minContains maxContains minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
        minLength maxLength pattern
        contentEncoding contentMediaType contentSchema allOf anyOf oneOf not if then else
        """,
    )
)
"""The keywords of JSON Schema, drafts 4 to 2020-12, but those with a `$`."""
_FLAWS = (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError)
"""What a schema that is none is refused with."""


def violations(schema: dict[str, Any], value: Json) -> list[str]:
    """What keeps a value from fitting, each with its place: `items[2].amount: -3 is less than the minimum of 0`.

    At most 20, of a long one its beginning and its end. Empty when the value fits. No value fits what is no schema.
    """
    if not schema:
        return []
    try:
        validator = _validator(to_json(schema))
    except _FLAWS as flaw:
        return [f"the schema itself does not hold: {_said(flaw)}"]
    found: list[str] = []
    for error in validator.iter_errors(value):
        place = _place(error.instance_path)
        found.append(abridged(f"{place}: {error.message}" if place else error.message, MAX_QUOTED))
        if len(found) == MAX_VIOLATIONS:
            break
    return found


def schema_error(schema: Any) -> str | None:
    """What keeps this from being a JSON Schema, or None."""
    try:
        _validator(to_json(schema))
    except _FLAWS as error:
        return _said(error)
    return None


def no_words(schema: Json) -> list[str]:
    """The keys of a schema that has no keyword of JSON Schema among them, to which every value fits: most likely its
    writer means properties. Empty for any other."""
    if not isinstance(schema, dict) or any(key in WORDS or key.startswith(("$", "x-")) for key in schema):
        return []
    return list(schema)


def _said(error: Exception) -> str:
    if isinstance(error, jsonschema_rs.ValidationError):
        place = _place(error.instance_path)
        return f"{place}: {error.message}" if place else error.message
    return str(error)


@lru_cache(maxsize=4096)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(from_json(schema), offline=True)


def _place(path: list[str | int]) -> str:
    place = ""
    for part in path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place
