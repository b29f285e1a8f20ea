"""What an edit or a repair changes, place by place, in red and green."""

from collections.abc import Iterable

import yaml
from rich.text import Text

from contracts.base import Json
from contracts.decisions import Difference

MAX_LINES = 12
"""Of one value; the rest is in the JSON."""


def shown(differences: Iterable[Difference]) -> Text:
    """Each place with what was there, struck by a minus, and what is there now."""
    text = Text()
    for change in differences:
        text.append(f"  {change.path or 'the whole value'}\n", style="name")
        for sign, style, value in (("-", "removed", change.before), ("+", "added", change.after)):
            for line in _lines(value):
                text.append(f"    {sign} {line}\n", style=style)
    text.rstrip()
    return text


def _lines(value: Json) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        lines = value.splitlines() or [""]
    else:
        lines = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000).rstrip().splitlines()
        lines = lines[:-1] if lines[-1] == "..." else lines
    if len(lines) > MAX_LINES:
        return [*lines[:MAX_LINES], f"({len(lines) - MAX_LINES} more lines)"]
    return lines
