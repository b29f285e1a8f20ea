"""YAML 1.2 as data with places: every value and key of a file has a line and a column. JSON is YAML."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from contracts.base import Json
from contracts.errors import DefinitionInvalid, Problem

Path = tuple[str | int, ...]

MAX_NODES = 2_000_000
"""Values in one file, aliases counted each time they are used: a bound on what a few nested anchors can blow up to."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True)
class Place:
    """1-based."""

    line: int
    column: int


@dataclass
class Source:
    """A file's data, the place of each value (`places`) and of each key (`keys`), and mistakes of YAML itself."""

    file: str
    data: Json = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    literal: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Of the value at a path, or of the nearest thing around it that exists."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def key(self, path: Path) -> Place:
        return self.keys.get(path) or self.place(path)

    def inside(self, path: Path, offset: int) -> Place:
        """Of a character of a string, exact for strings written in one line."""
        place = self.place(path)
        return Place(place.line, place.column + offset) if path in self.literal else place

    def report(self, place: Place, message: str, hint: str = "") -> None:
        problem = Problem(file=self.file, line=place.line, column=place.column, message=message, hint=hint)
        self.problems.append(problem)


def load_yaml(text: str, file: str) -> Source:
    """The one document of a YAML or JSON text.

    Raises:
        DefinitionInvalid: it is not YAML, not one document, or too large.
    """
    source = Source(file)
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        hint = "put text with `: ` in it in quotes" if "mapping values" in str(error.problem) else "mend the syntax"
        source.report(place, f"this is not YAML: {error.problem or error.context}", hint)
        raise DefinitionInvalid(source.problems) from error
    except yaml.YAMLError as error:
        source.report(Place(1, 1), f"this is not YAML: {error}", "write plain text without control characters")
        raise DefinitionInvalid(source.problems) from error
    if node is None:
        source.report(Place(1, 1), "the file is empty", "start with `process: name`")
        raise DefinitionInvalid(source.problems)
    source.data = _Builder(source).build(node, ())
    return source


def _compose(text: str) -> yaml.Node | None:
    loader = yaml.CSafeLoader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


class _Builder:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._nodes = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: Path) -> Json:
        self._nodes += 1
        place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
        if self._nodes > MAX_NODES or id(node) in self._open:
            what = "an anchor holds itself" if id(node) in self._open else f"more than {MAX_NODES:,} values"
            self._source.report(place, what, "write the values out, or split the process")
            raise DefinitionInvalid(self._source.problems)
        self._source.places[path] = place
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            return dict(self._pairs(node, path))
        finally:
            self._open.discard(id(node))

    def _pairs(self, node: yaml.Node, path: Path) -> Iterator[tuple[str, Json]]:
        seen: dict[str, Place] = {}
        for key_node, value_node in node.value:
            place = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self._source.report(place, "a key must be a plain word", "quote it")
                continue
            key = str(key_node.value)
            if key in seen:
                first = f"it is in line {seen[key].line} already"
                self._source.report(place, f"`{key}` is written twice", f"{first}; remove or rename one")
                continue
            seen[key] = place
            self._source.keys[(*path, key)] = place
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Json:
        text: str = node.value
        if node.start_mark.line == node.end_mark.line:
            self._source.literal.add(path)
        if node.style:  # plain scalars have none
            if node.style in "'\"":
                mark = self._source.places[path]
                self._source.places[path] = Place(mark.line, mark.column + 1)
            return text
        return _plain(text)


def _plain(text: str) -> Json:
    """A plain scalar by the core schema of YAML 1.2, in which `on`, `yes` and `no` are words. Infinity and NaN, which
    JSON does not have, are words too."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) and math.isfinite(float(text)) else text
