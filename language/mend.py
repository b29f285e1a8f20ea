"""Schemas that are almost JSON Schema, as people, Python and OpenAPI write them, made right; or what is wrong, where.

Mended: names of Python types (`dict`, `float`, `list[str]`, `Optional[int]`, `any`), a missing `type` beside
`properties` or `items`, `required: true` and `optional: true` inside a property, `nullable`, `example`, draft 4's
`exclusiveMinimum: true`, and `None`, `True` and `False` as defaults.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.base import Json
from language.schema import schema_error
from language.source import Path
from language.structure import close

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_ALIASES = {
    **dict.fromkeys(("str", "text", "date", "datetime", "uuid", "char", "varchar", "bytes"), "string"),
    **dict.fromkeys(("float", "double", "decimal", "numeric", "real", "num"), "number"),
    **dict.fromkeys(("int", "long", "int32", "int64", "bigint"), "integer"),
    "bool": "boolean",
    **dict.fromkeys(("dict", "map", "mapping", "struct", "record", "json"), "object"),
    **dict.fromkeys(("list", "tuple", "set", "sequence", "iterable"), "array"),
    **dict.fromkeys(("none", "nonetype", "nil"), "null"),
}
_ANY = frozenset({"any", "object | any", "mixed", "unknown", ""})
_GENERIC = re.compile(r"(?:typing\.)?(\w+)\s*\[(.*)\]", re.S)
_LITERALS = {"None": None, "True": True, "False": False}
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_NOISE = frozenset({"xml", "externalDocs", "discriminator"})
"""What OpenAPI adds and no check reads."""


@dataclass(frozen=True)
class Wrong:
    """What cannot be mended, and where inside the schema."""

    path: Path
    message: str
    hint: str


def mend(schema: Json) -> tuple[dict[str, Any], list[Wrong]]:
    """The schema as JSON Schema, and all that is wrong with it. With mistakes the schema is good for nothing."""
    wrong: list[Wrong] = []
    made = _schema(schema, (), wrong)
    if not isinstance(made, dict):
        made = {} if made else {"not": {}}
    if not wrong and (said := schema_error(made)):
        wrong.append(Wrong((), said, "write JSON Schema"))
    return made, wrong


def _schema(schema: Json, at: Path, wrong: list[Wrong]) -> Json:
    if schema is None or isinstance(schema, bool):
        return {} if schema is None else schema
    if isinstance(schema, str):
        return _named(schema, at, wrong)
    if not isinstance(schema, dict):
        wrong.append(Wrong(at, f"{schema!r} is no schema", "write a mapping, such as {type: string}"))
        return {}
    made = {key: value for key, value in schema.items() if key not in _NOISE}
    _children(made, at, wrong)
    _requirements(made, schema)
    _type(made, at, wrong)
    _examples(made)
    _bounds(made)
    _default(made)
    return made


def _children(made: dict[str, Any], at: Path, wrong: list[Wrong]) -> None:
    for key in _MAPS:
        if key not in made:
            continue
        if not isinstance(made[key], dict):
            wrong.append(Wrong((*at, key), f"`{key}` is {made[key]!r}", "write a mapping of names to schemas"))
            del made[key]
            continue
        made[key] = {name: _schema(inner, (*at, key, name), wrong) for name, inner in made[key].items()}
    for key in _LISTS:
        if isinstance(made.get(key), list):
            made[key] = [_schema(inner, (*at, key, index), wrong) for index, inner in enumerate(made[key])]
    for key in _SINGLES:
        if isinstance(made.get(key), list):  # draft 4's tuples
            made["prefixItems"] = [_schema(inner, (*at, key, index), wrong) for index, inner in enumerate(made[key])]
            del made[key]
        elif key in made:
            made[key] = _schema(made[key], (*at, key), wrong)


def _requirements(made: dict[str, Any], written: Mapping[str, Any]) -> None:
    """`required` is a list of the object's own; what its properties say of themselves goes there."""
    if isinstance(made.get("required"), bool) or "optional" in made:
        made.pop("optional", None)
        if isinstance(made.get("required"), bool):
            del made["required"]
    properties = written.get("properties")
    if not isinstance(properties, dict):
        return
    required = list(made["required"]) if isinstance(made.get("required"), list) else []
    for name, inner in properties.items():
        if not isinstance(inner, dict):
            continue
        if inner.get("required") is True and name not in required:
            required.append(name)
        if (inner.get("required") is False or inner.get("optional") is True) and name in required:
            required.remove(name)
    if required:
        made["required"] = required
    elif made.get("required") == [] or written.get("required"):
        made.pop("required", None)


def _type(made: dict[str, Any], at: Path, wrong: list[Wrong]) -> None:
    kind = made.pop("type", None)
    nullable = made.pop("nullable", False) is True
    if isinstance(kind, list):
        named = [_named(each, (*at, "type"), wrong) if isinstance(each, str) else {} for each in kind]
        types = [each["type"] for each in named if isinstance(each.get("type"), str)]
        if len(types) == len(kind):
            made["type"] = types
    elif isinstance(kind, str):
        found = _named(kind, (*at, "type"), wrong)
        for key, value in found.items():
            made.setdefault(key, value)
    elif kind is not None:
        wrong.append(Wrong((*at, "type"), f"`type` is {kind!r}", f"write one of {', '.join(TYPES)}"))
    elif "properties" in made:
        made["type"] = "object"
    elif "items" in made or "prefixItems" in made:
        made["type"] = "array"
    if nullable:
        _allow_null(made)


def _allow_null(made: dict[str, Any]) -> None:
    kind = made.get("type")
    if isinstance(kind, str) and kind != "null":
        made["type"] = [kind, "null"]
    elif isinstance(kind, list) and "null" not in kind:
        made["type"] = [*kind, "null"]
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    if "$ref" in made or "allOf" in made:
        inner = {key: made.pop(key) for key in ("$ref", "allOf") if key in made}
        made["anyOf"] = [inner, {"type": "null"}]


def _named(name: str, at: Path, wrong: list[Wrong]) -> dict[str, Any]:
    """The schema of a type's name in JSON Schema, Python or a database."""
    text = name.strip()
    word = text.lower().removeprefix("typing.")
    if word in _ANY:
        return {}
    if word in TYPES or word in _ALIASES:
        return {"type": _ALIASES.get(word, word)}
    parts = _split(text, "|")
    if len(parts) > 1:
        return {"anyOf": [_named(part, at, wrong) for part in parts]}
    if found := _GENERIC.fullmatch(text):
        return _generic(found[1].lower(), _split(found[2], ","), at, wrong)
    wrong.append(Wrong(at, f"there is no type {name!r}", close(name, [*TYPES, *_ALIASES])))
    return {}


def _generic(outer: str, inner: list[str], at: Path, wrong: list[Wrong]) -> dict[str, Any]:
    match _ALIASES.get(outer, outer):
        case "optional":
            return {"anyOf": [_named(inner[0], at, wrong), {"type": "null"}]}
        case "union":
            return {"anyOf": [_named(part, at, wrong) for part in inner]}
        case "array":
            return {"type": "array", "items": _named(inner[0], at, wrong)}
        case "object" if len(inner) == 2:
            return {"type": "object", "additionalProperties": _named(inner[1], at, wrong)}
        case "literal":
            return {"enum": [part.strip("'\"") for part in inner]}
        case _:
            wrong.append(Wrong(at, f"there is no type {outer!r}", "write JSON Schema"))
            return {}


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _examples(made: dict[str, Any]) -> None:
    if "example" in made:
        made.setdefault("examples", [made.pop("example")])
        made.pop("example", None)
    examples = made.get("examples")
    if examples is not None and not isinstance(examples, list):
        made["examples"] = list(examples.values()) if isinstance(examples, dict) else [examples]


def _bounds(made: dict[str, Any]) -> None:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and bound in made:
            made[exclusive] = made.pop(bound)


def _default(made: dict[str, Any]) -> None:
    default = made.get("default")
    if isinstance(default, str) and default in _LITERALS and made.get("type") != "string":
        made["default"] = _LITERALS[default]


def mend_schemas(process: Json) -> None:
    """Put what is meant in place of schemas of a process file that are none, where that is known. What stays wrong is
    told by whoever checks the file."""
    if not isinstance(process, dict):
        return
    _mend_in(process, "input")
    for declared in _mappings(process.get("state")):
        _mend_in(declared, "schema")
    _mend_steps(process.get("steps"))


def _mend_steps(steps: Json) -> None:
    for step in _mappings(steps):
        _mend_in(step, "output")
        _mend_steps(step.get("steps"))


def _mappings(value: Json) -> list[dict[str, Any]]:
    return [each for each in value.values() if isinstance(each, dict)] if isinstance(value, dict) else []


def _mend_in(holder: dict[str, Any], key: str) -> None:
    written = holder.get(key)
    if written is None or (isinstance(written, dict) and schema_error(written) is None):
        return
    made, wrong = mend(written)
    if not wrong:
        holder[key] = made
