"""JSON values for a reader: words, lists, facts and tables, bounded, with nothing in them that misleads the eye."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from contracts.base import Json
from contracts.plain import plain

MAX_CHARACTERS = 40_000
"""Of all values of a page; the exact JSON has the rest."""
MAX_TEXT = 4_000
MAX_ITEMS = 50
MAX_COLUMNS = 6
MAX_DEPTH = 6


@dataclass(frozen=True)
class Shown:
    """`text` for words and for what is left out; `facts` are named values; a table's `items` are its rows."""

    kind: Literal["words", "lines", "list", "facts", "table", "more"]
    text: str = ""
    items: tuple["Shown", ...] = ()
    facts: tuple[tuple[str, "Shown"], ...] = ()
    columns: tuple[str, ...] = ()


def readable(value: Json) -> Shown:
    return _Reader().read(value, 0)


class _Reader:
    """Reads one value, until there is no more room."""

    def __init__(self) -> None:
        self._left = MAX_CHARACTERS

    def read(self, value: Json, depth: int) -> Shown:
        if not isinstance(value, dict | list | tuple):
            return self._words(value)
        if not value:
            return Shown("words", "none")
        if depth == MAX_DEPTH or self._left <= 0:
            return _more(len(value))
        if isinstance(value, dict):
            return Shown("facts", facts=tuple(self._facts(value, depth)))
        columns = _columns(value)
        if columns:
            rows = tuple(self._row(row, columns) for row in self._bounded(value))
            return Shown("table", items=(*rows, *_rest(value, rows)), columns=tuple(label(each) for each in columns))
        items = tuple(self.read(item, depth + 1) for item in self._bounded(value))
        return Shown("list", items=(*items, *_rest(value, items)))

    def _facts(self, value: dict[str, Json], depth: int) -> Iterable[tuple[str, Shown]]:
        shown = 0
        for key in self._bounded(value):
            self._left -= len(key)
            shown += 1
            yield label(key), self.read(value[key], depth + 1)
        if shown < len(value):
            yield "", _more(len(value) - shown)

    def _row(self, row: dict[str, Json], columns: Sequence[str]) -> Shown:
        return Shown("list", items=tuple(self._words(row[column]) for column in columns))

    def _words(self, value: Json) -> Shown:
        if value is None or isinstance(value, bool):
            text = "none" if value is None else "yes" if value else "no"
        elif isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            text = str(int(value))
        else:
            text = plain(str(value))
        room = max(0, min(MAX_TEXT, self._left))
        self._left -= min(len(text), room)
        if len(text) > room:
            text = f"{text[:room]}… ({len(text) - room} more characters)"
        return Shown("lines" if "\n" in text else "words", text or "(empty)")

    def _bounded(self, value: Iterable[Json]) -> Iterable[Json]:
        for item in islice(value, MAX_ITEMS):
            if self._left <= 0:
                return
            yield item


def label(key: str) -> str:
    """A key as a reader's word."""
    return plain(key.replace("_", " ").strip())[:200] or "(no name)"


def _columns(rows: Sequence[Json]) -> tuple[str, ...]:
    """The keys of all rows, when they are plain rows of the same few keys."""
    first = rows[0]
    if not isinstance(first, dict) or len(rows) < 2 or not 2 <= len(first) <= MAX_COLUMNS:
        return ()
    keys = first.keys()
    fits = all(isinstance(row, dict) and row.keys() == keys and _is_plain(row.values()) for row in rows)
    return tuple(keys) if fits else ()


def _is_plain(values: Iterable[Json]) -> bool:
    return not any(isinstance(value, dict | list | tuple) or len(str(value)) > 80 for value in values)


def _rest(value: Sequence[Json], shown: Sequence[Shown]) -> tuple[Shown, ...]:
    return (_more(len(value) - len(shown)),) if len(shown) < len(value) else ()


def _more(count: int) -> Shown:
    return Shown("more", f"{count} more; the exact JSON below has {'it' if count == 1 else 'them'}")
