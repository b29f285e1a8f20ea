"""What is wrong with the constraints of a grant in a file."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cel

from contracts.base import Json
from contracts.tools import ToolSpec
from language import expressions
from language.constraints import condition_of, shown
from language.references import FUNCTIONS
from language.schema import violations
from language.structure import close

NAMES = frozenset({"value", "args"})
_ARGUMENT = re.compile(r"(?<![\w.])args\s*\.\s*(\w+)")


def problems(name: str, constraint: Json, specs: Iterable[ToolSpec]) -> Iterator[tuple[str, str]]:
    """(message, hint) for what is wrong with the constraint of an argument, given the tools that it is for."""
    properties = _properties(specs)
    if name not in properties:
        yield f"no tool that is granted here takes an argument `{name}`", close(name, properties)
        return
    condition = condition_of(constraint)
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
            yield f"`{name}` can never be {shown(one)}: {wrong}", "a comparison is text that begins with its sign"


def _properties(specs: Iterable[ToolSpec]) -> dict[str, dict[str, Any]]:
    """The arguments of all these tools, each with its schema."""
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        for name, schema in spec.parameters.get("properties", {}).items():
            found.setdefault(name, {**schema, "$defs": spec.parameters.get("$defs", {})})
    return found
