"""What panels are made of: names with values, values, commands to be copied."""

from collections.abc import Iterable

import yaml
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from contracts.base import Json

MAX_VALUE_LINES = 24


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Padding:
    """Names and values in two columns, a little inside."""
    table = Table.grid(Column(no_wrap=True, style="faint"), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for name, value in rows:
        table.add_row(name, value)
    return Padding(table, (0, 0, 0, 2), expand=False)


def commands_text(commands: Iterable[tuple[str, str]], *, live: bool) -> Text:
    """A printed command stays one line, however narrow the terminal, so that it can be copied."""
    text = Text(no_wrap=not live, overflow="fold" if live else "ignore")
    for line, explanation in commands:
        text.append(f"  {line}\n", style="command")
        if explanation:
            text.append(f"      {explanation}\n", style="faint")
    text.rstrip()
    return text


def value_text(value: Json) -> Text:
    """A JSON value for a reader: bare words where they will do, YAML else; bounded."""
    if isinstance(value, str):
        return Text(value)
    if value is None or isinstance(value, bool):
        return Text("none" if value is None else "yes" if value else "no")
    if isinstance(value, float) and value.is_integer():
        return Text(str(int(value)))
    lines = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000).rstrip().splitlines()
    if lines[-1] == "...":
        lines.pop()
    if len(lines) > MAX_VALUE_LINES:
        lines = [*lines[:MAX_VALUE_LINES], f"({len(lines) - MAX_VALUE_LINES} more lines; --json has them)"]
    return Text("\n".join(lines))
