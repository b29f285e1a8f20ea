"""A file of any model: what is wrong with its shape, all at once, each at its place in plain words."""

import types
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from contracts.base import Contract, Json
from language.source import Path, Source
from language.structure import WANTED, brief, close

C = TypeVar("C", bound=Contract)


def read_shape(source: Source, model: type[C]) -> C | None:
    """The file as a model; None when it has mistakes, which are reported."""
    if not isinstance(source.data, dict):
        source.report(source.place(()), "the file is no mapping", close("", model.model_fields))
        return None
    try:
        return model.model_validate_json(to_json(source.data), strict=True)
    except ValidationError as error:
        reported: set[tuple[Path, str]] = set()
        for detail in error.errors():
            path = _path(source.data, detail["loc"])
            if (path, "") not in reported:
                _report(source, model, detail, path)
            reported.add((path, ""))
        return None


def _path(data: Json, location: tuple[int | str, ...]) -> Path:
    """pydantic's location without the names of alternatives, which are not in the data."""
    path: list[int | str] = []
    for position, part in enumerate(location):
        is_key = isinstance(data, dict) and part in data
        is_item = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if is_key or is_item:
            path.append(part)
            data = data[part]
        elif position == len(location) - 1 and isinstance(data, dict) and part != "[key]":
            path.append(part)
    return tuple(path)


def _report(source: Source, model: type[BaseModel], detail: ErrorDetails, path: Path) -> None:
    name = str(path[-1]) if path else "the file"
    value = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            source.report(source.place(path[:-1]), f"`{name}` is missing", "add it")
        case "extra_forbidden":
            source.report(source.key(path), f"unknown key `{name}`", close(name, _keys(model, path[:-1])))
        case "value_error":
            source.report(source.place(path), str(context.get("error", detail["msg"])), "")
        case "literal_error":
            source.report(source.place(path), f"`{name}` is {brief(value)}", f"write {context.get('expected')}")
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]":
            hint = "write lower-case words joined by dots, such as erp.read_order"
            source.report(source.key(path), f"`{name}` cannot be a name", hint)
        case "string_pattern_mismatch":
            hint = _PATTERNS.get(name, "write lower-case words joined by dots, such as erp.read_order")
            source.report(source.place(path), f"`{name}` is {brief(value)}", hint)
        case "too_short" | "string_too_short":
            source.report(source.place(path), f"`{name}` is empty", "write at least one")
        case kind if kind in WANTED:
            source.report(source.place(path), f"`{name}` is {brief(value)}", f"write {WANTED[kind]}")
        case _:
            said = detail["msg"][:1].lower() + detail["msg"][1:]
            source.report(source.place(path), f"`{name}` is {brief(value)}: {said}", "")


_PATTERNS = {
    "base": "write the address that all paths begin with, such as https://erp.example.com/api",
    "url": "write an address, such as https://mcp.example.com/mcp",
    "path": "write a path that begins with /, such as /orders/{order}",
}


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that a mapping of the file may have, found by the types on the way to it."""
    kind: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _inner(kind.model_fields[part].annotation)
        else:
            arguments = typing.get_args(kind)
            kind = _inner(arguments[-1]) if arguments else None
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _inner(kind: Any) -> Any:
    """The type without `Annotated` and `| None`; of a list, what is in it."""
    while typing.get_origin(kind) in (typing.Annotated, typing.Union, types.UnionType, tuple):
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
    return kind
