"""What is wrong with a file's shape: pydantic's findings at their places, in plain words."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from contracts import approval
from contracts import process as model
from contracts.base import Contract, Json
from contracts.process import STEP_KINDS, Process, StepBase
from contracts.triggers import TRIGGER_KINDS
from language.source import Path, Source


def parse(source: Source) -> tuple[Process | None, set[Path]]:
    """The file as a model, its mistakes reported. Parts that are wrong are left out, so that the rest can be checked
    all the same; the paths of steps and agents left out come second."""
    if not isinstance(source.data, dict):
        source.report(source.place(()), "a process file is a mapping", "start with `process: name`")
        return None, set()
    data, dropped = source.data, set[Path]()
    for attempt in range(4):
        try:
            # As JSON, strictly: `version: "3"` is text and `true` no number, as the published schema has it.
            return Process.model_validate_json(to_json(data), strict=True), dropped
        except ValidationError as error:
            found = [(detail, _path(source.data, detail["loc"])) for detail in error.errors()]
        if attempt == 0:
            _report_all(source, found)
            # Mostly one key is wrong, and the rest of its step can be checked without it.
            gone = {_key(path) for detail, path in found if detail["type"] != "missing"}
            dropped |= {path for path in gone if path == _owner(path)}
            data = _without(data, gone)
        else:
            owners = {_owner(path) for _, path in found}
            dropped |= owners
            data = _without(data, owners)
    return None, dropped


def _report_all(source: Source, found: list[tuple[ErrorDetails, Path]]) -> None:
    paths = [path for _, path in found]
    explained = {path for detail, path in found if detail["type"] == "value_error"}
    for index, (detail, path) in enumerate(found):
        has_inner = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
        if path and path[-1] in _CHOICES and detail["type"] != "value_error":
            if not has_inner and paths.index(path) == index:
                _report_choice(source, path, detail["input"], _CHOICES[path[-1]])
            continue
        is_repeated = path in explained and detail["type"] != "value_error"
        is_other_branch = has_inner and "wait" in path and detail["type"] == "value_error"
        if not (has_inner and detail["type"] == "too_short") and not is_repeated and not is_other_branch:
            _report(source, detail, path)


def close(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or what there is."""
    names = sorted(known)
    if matches := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"did you mean `{matches[0]}`?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"there are: {shown}" if names else "there are none"


_TAG = re.compile(r"step:|on:|function|tuple\[|(str|int|bool)$")
"""What names of alternatives in pydantic's locations begin with."""


def _path(data: Json, location: tuple[int | str, ...]) -> Path:
    """pydantic's location without what is not in the data: tags of unions."""
    path: list[int | str] = []
    for position, part in enumerate(location):
        inside = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if part == "[key]":
            continue
        if inside and (isinstance(data, dict) or int(part) < len(data)):
            path.append(part)
            data = data[part]
        elif position == len(location) - 1 and isinstance(data, dict) and not _TAG.match(str(part)):
            path.append(part)
    return tuple(path)


def _owner(path: Path) -> Path:
    """The innermost step, the agent or the top-level key that a path is in."""
    owner = path[:2] if path[:1] in (("agents",), ("state",)) else path[:1]
    position = 0
    while path[position : position + 1] == ("steps",) and len(path) > position + 1:
        owner = path[: position + 2]
        position += 2
    return owner


def _key(path: Path) -> Path:
    """The key of a step, of an agent or at the top that a path is in; the step itself when the path ends there."""
    return path[: len(_owner(path)) + 1]


def _without(data: Any, paths: set[Path], at: Path = ()) -> Any:
    if not isinstance(data, dict):
        return data
    kept = {key: _without(value, paths, (*at, key)) for key, value in data.items() if (*at, key) not in paths}
    if not at:
        kept.setdefault("process", "unnamed")
        kept.setdefault("steps", {})
    if "steps" in kept and not kept["steps"]:
        kept["steps"] = {"_": {"wait": "0s"}}
    return kept


def _report(source: Source, detail: ErrorDetails, path: Path) -> None:
    name = _name(path)
    value = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            source.report(source.place(path[:-1]), f"`{name}` is missing", "add it")
        case "extra_forbidden":
            source.report(source.key(path), f"unknown key `{name}`", close(name, _allowed(source, path[:-1])))
        case "union_tag_not_found" | "union_tag_invalid":
            _report_kind(source, path, value)
        case "literal_error":
            _report_choice(source, path, value, str(context.get("expected")))
        case "value_error":
            source.report(source.place(path), str(context.get("error", detail["msg"])), "")
        case "string_pattern_mismatch":
            _report_pattern(source, detail, path)
        case "too_short" | "string_too_short":
            least = context.get("min_length", 1)
            hint = "write some text" if isinstance(value, str) else f"write at least {'one' if least == 1 else least}"
            message = f"`{name}` has only {len(value)}" if value else f"`{name}` is empty"
            source.report(source.place(path), message, hint)
        case _:
            _report_value(source, detail, path)


def _report_choice(source: Source, path: Path, value: Json, expected: str) -> None:
    source.report(source.place(path), f"`{path[-1]}` is {brief(value)}", f"write {expected}")


def _report_pattern(source: Source, detail: ErrorDetails, path: Path) -> None:
    name, value = _name(path), detail["input"]
    hint = _pattern_hint(str(detail.get("ctx", {}).get("pattern")))
    if detail["loc"][-1] == "[key]":
        source.report(source.key(path), f"`{name}` cannot be an id", hint)
    elif len(path) > 1 and path[-2] == "needs" and "." in str(value):
        message = f"`{value}` is inside a group, and cannot be needed from outside"
        source.report(source.place(path), message, f"need `{str(value).partition('.')[0]}`")
    else:
        source.report(source.place(path), f"`{name}` is {value!r}", hint)


def _report_value(source: Source, detail: ErrorDetails, path: Path) -> None:
    name, value, wanted = _name(path), detail["input"], WANTED.get(detail["type"])
    message = f"`{name}` is {brief(value)}"
    said = _lower(detail["msg"])
    if wanted is not None:
        source.report(source.place(path), message, f"write {wanted}")
    elif detail["type"] in ("greater_than_equal", "greater_than", "less_than_equal"):
        source.report(source.place(path), message, f"write a number {said.removeprefix('input should be ')}")
    else:
        source.report(source.place(path), f"{message}: {said}", "")


_CHOICES: dict[str | int, str] = {
    "on_failure": "ask, fail, continue, replan (in a goal's plan) or {fallback: step}",
    "join": "all, any or how many needs",
    "for_each": "a list, or an expression that gives one",
    "model": "a model alias, or a list of them",
    "if_version": "a version number, or an expression that gives one",
}
"""Keys whose value is one of several types."""

WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "a mapping of keys and values",
    "model_type": "a mapping of keys and values",
}


def _name(path: Path) -> str:
    """What a value is called in a message: `any_of[0]`, `timeout`."""
    if path and isinstance(path[-1], int):
        return f"{_name(path[:-1])}[{path[-1]}]"
    return str(path[-1]) if path else "the file"


def _report_kind(source: Source, path: Path, value: Json) -> None:
    is_trigger = path[:1] == ("on",)
    name = f"on[{path[1]}]" if is_trigger else f"step `{path[-1] if path else 'step'}`"
    known: Iterable[str] = TRIGGER_KINDS if is_trigger else STEP_KINDS
    kinds = ", ".join(known)
    if not isinstance(value, dict):
        example = "event: order.paid" if is_trigger else "tool: name"
        source.report(source.place(path), f"{name} is no mapping", f"write what it does, such as `{example}`")
    elif found := [kind for kind in known if kind in value]:
        both = " and ".join(f"`{kind}`" for kind in found)
        what = "a trigger" if is_trigger else "a step"
        source.report(source.key(path), f"{name} has {both}", f"{what} is exactly one of {kinds}")
    else:
        source.report(source.key(path), f"{name} does not say what it does", f"give it one of {kinds}")


def _allowed(source: Source, parent: Path) -> list[str]:
    """The keys that a mapping of the file may have."""
    data: Json = source.data
    for part in parent:
        data = data[part]
    owner = _owner(parent)
    chosen: type[BaseModel] = Process
    if owner == parent and owner[:1] == ("steps",) and isinstance(data, dict):
        chosen = next((kind for name, kind in STEP_KINDS.items() if name in data), StepBase)
    elif parent[:1] == ("on",) and isinstance(data, dict):
        chosen = next((kind for name, kind in TRIGGER_KINDS.items() if name in data), Contract)
    elif parent:
        chosen = _MODELS.get(str(next((part for part in reversed(parent) if part in _MODELS), "")), StepBase)
    if owner == parent and owner[:1] == ("agents",):
        chosen = model.AgentSpec
    if parent[:1] == ("state",):
        chosen = model.StateKey
    if parent[:1] == ("agents",) and parent[2:3] == ("approve",) and len(parent) == 4:
        chosen = approval.CallApproval
    return [field.alias or name for name, field in chosen.model_fields.items()]


_MODELS: dict[str | int, type[BaseModel]] = {
    "approval": approval.Approval,
    "approve": approval.Approve,
    "review": approval.Approve,
    "from": approval.ApprovalRow,
    "stages": approval.Stage,
    "escalate": approval.Escalation,
    "on_failure": model.Fallback,
    "repeat": model.Repeat,
    "state": model.StateWrite,
    "undo": model.Undo,
    "retry": model.Retry,
    "limits": model.Limits,
    "value": model.Value,
    "debate": model.Debate,
    "wait": model.Until,
}


def _pattern_hint(pattern: str) -> str:
    if pattern.startswith("^((user|group)"):
        return "write user:NAME or group:NAME"
    if pattern.startswith("^[a-z][a-z0-9]*(-"):
        return "write kebab-case, such as invoice-approval"
    return "write letters, digits and _, not starting with a digit"


def brief(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
