"""The arguments of a tool call as a model writes them: one JSON object that can be read in one way only."""

import json
import math
from typing import Any

from pydantic_core import from_json

from contracts.base import Json


def read_arguments(text: str) -> dict[str, Json]:
    """The arguments in a model's text; none at all are an empty object.

    Raises:
        ValueError: it is no JSON object, names a key twice, or holds a number that JSON has not.
    """
    try:
        found = from_json(text or "{}", allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"the arguments are not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("the arguments must be a JSON object")  # noqa: TRY004 -- as with all that is wrong in the text
    # Who reads one of two values, and who the other, would not agree on what was granted or approved.
    json.loads(text or "{}", object_pairs_hook=_without_repeats, parse_float=_finite, parse_int=int)
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the arguments name `{key}` twice")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the arguments hold {text[:40]}, which is larger than a number can be")
    return number
