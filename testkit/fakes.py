"""Fake tools, made of the schemas of the real ones: they take what those take, and return what those would."""

from collections.abc import Mapping
from typing import Any

from contracts.base import Json
from contracts.tools import ToolSpec
from language.schema import violations

_FORMATS = {
    "date": "2026-01-05",
    "date-time": "2026-01-05T09:00:00Z",
    "time": "09:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEEPEST = 20


def fake_result(spec: ToolSpec) -> Json:
    """What a fake of this tool returns when the test does not say.

    Raises:
        ValueError: none can be made of its schema.
    """
    made = example(spec.returns)
    if wrong := violations(spec.returns, made):
        raise ValueError(
            f"no result of {spec.name} can be made of its schema ({'; '.join(wrong)}); say what the fake returns: "
            f'trial.fake("{spec.name}", returns=...)'
        )
    return made


def example(schema: Mapping[str, Any] | bool) -> Json:
    """The smallest value that fits a JSON Schema, the same each time: its `default`, `const`, first `examples` or
    `enum`, else the least of its type. Required properties are there, others are left out."""
    root = schema if isinstance(schema, Mapping) else {}
    return _example(root, root, 0)


def _example(schema: Any, root: Mapping[str, Any], depth: int) -> Json:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    schema = _resolved(schema, root)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _example(schema[key][0], root, depth + 1)
    if schema.get("allOf"):
        return _example(_merged(schema, root), root, depth + 1)
    return _of_type(schema, root, depth)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` within the same schema points at."""
    while "$ref" in schema:
        found: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in (_resolved(each, root) for each in schema["allOf"]):
        properties = {**whole.get("properties", {}), **part.get("properties", {})}
        required = [*whole.get("required", ()), *part.get("required", ())]
        whole = {**whole, **part}
        whole |= {"properties": properties, "required": required} if properties else {}
    return whole


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Json:
    kind = schema.get("type") or ("object" if "properties" in schema else None)
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: _example(properties.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
        case "array":
            return [_example(schema.get("items", {}), root, depth + 1)] * schema.get("minItems", 0)
        case "string":
            text = _FORMATS.get(schema.get("format", ""), "text")
            return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
        case _:
            return None


def _number(schema: Mapping[str, Any]) -> Json:
    step = schema.get("multipleOf", 1)
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + step
    return schema.get("minimum", min(0, schema.get("maximum", 0)))
