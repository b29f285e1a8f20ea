"""Pins of MCP tools: what a server said of each when somebody looked at it, and what it says otherwise now."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from contracts.base import Json
from contracts.connections import PinnedTool

_SHOWN = 200


def pinned(description: str, parameters: Mapping[str, Any], returns: Mapping[str, Any], hints: Json) -> PinnedTool:
    """A tool as a server describes it, with the SHA-256 (hex) of all of that."""
    said = [description, _sorted(parameters), _sorted(returns), _sorted(hints)]
    return PinnedTool(
        description=description,
        parameters=dict(parameters),
        returns=dict(returns),
        annotations=dict(hints),
        hash=hashlib.sha256(to_json(said)).hexdigest(),
    )


def is_intact(tool: PinnedTool) -> bool:
    return tool.hash == pinned(tool.description, tool.parameters, tool.returns, tool.annotations).hash


def changes(before: PinnedTool, now: PinnedTool) -> list[str]:
    """What is different, each in one line; empty when nothing is."""
    found: list[str] = []
    if before.description != now.description:
        found.append(f"description: {_brief(before.description)} is now {_brief(now.description)}")
    for name, old, new in (
        ("arguments", before.parameters, now.parameters),
        ("result", before.returns, now.returns),
        ("annotations", before.annotations, now.annotations),
    ):
        found += _differences(name, old, new)
    return found


def drift(pins: Mapping[str, PinnedTool], offered: Mapping[str, PinnedTool]) -> dict[str, list[str]]:
    """By the server's names of tools: how each differs from its pin; gone and new ones too."""
    found: dict[str, list[str]] = {}
    for name in sorted({*pins, *offered}):
        if name not in offered:
            found[name] = ["the server does not offer it any more"]
        elif name not in pins:
            found[name] = [f"new, and not pinned: {_brief(offered[name].description)}"]
        elif pins[name].hash != offered[name].hash:
            found[name] = changes(pins[name], offered[name])
    return found


def _differences(place: str, old: Json, new: Json) -> list[str]:
    if old == new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[str] = []
        for key in sorted({*old, *new}):
            inner = f"{place}.{key}"
            if key not in new:
                found.append(f"{inner}: gone, was {_brief(old[key])}")
            elif key not in old:
                found.append(f"{inner}: new, {_brief(new[key])}")
            else:
                found += _differences(inner, old[key], new[key])
        return found
    return [f"{place}: {_brief(old)} is now {_brief(new)}"]


def _brief(value: Json) -> str:
    text = repr(value) if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _sorted(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
