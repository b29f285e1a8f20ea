"""YAML 1.2 as data with places: every value and key of a file has a line and a column. JSON is YAML."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from contracts.base import Json
from contracts.errors import DefinitionInvalid, Problem

Path = tuple[str | int, ...]

MAX_NODES = 500_000
"""Values in one file, aliases counted each time they are used: a bound on what a few nested anchors can blow up to."""
MAX_DEPTH = 50
"""Levels of nesting; libyaml's recursion has no bound of its own and ends the process."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOT_ALLOWED = re.compile("[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_TWO_ESCAPES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HINTS = {
    "found character that cannot start any token": "put text that begins with @, ` or % in quotes",
    "mapping values are not allowed in this context": "put text with `: ` in it in quotes",
    "did not find expected ',' or '}'": 'close the `{`; between { } write expressions in quotes: "${ ... }"',
    "did not find expected ',' or ']'": 'close the `[`; between [ ] write expressions in quotes: "${ ... }"',
    "did not find expected key": "check the indentation",
    "could not find expected ':'": "write `key: value`",
    "found unexpected end of stream": "close the quote",
    "found undefined alias": "write &name at the value meant, above",
    "but found another document": "put each process in a file of its own",
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
    text: str = ""
    spans: dict[Path, tuple[str, int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Of the value at a path, or of the nearest thing around it that exists."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def key(self, path: Path) -> Place:
        return self.keys.get(path) or self.place(path)

    def inside(self, path: Path, offset: int) -> Place:
        """Of a character of a string, whichever way the string is quoted or folded."""
        place = self.place(path)
        if path not in self.spans:
            return place
        value, start, end = self.spans[path]
        before = self.text[start : _index(self.text, value, start, end, offset)]
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") if lines else place.column + len(before)
        return Place(place.line + lines, column)

    def report(self, place: Place, message: str, hint: str = "") -> None:
        problem = Problem(file=self.file, line=place.line, column=place.column, message=message, hint=hint)
        self.problems.append(problem)

    def refuse(self, place: Place, message: str, hint: str) -> NoReturn:
        """Raises: DefinitionInvalid, since nothing after this can be read."""
        self.report(place, message, hint)
        raise DefinitionInvalid(self.problems)


def load_yaml(text: str | bytes, file: str, *, begins: str = "process: name") -> Source:
    """The one document of a YAML or JSON text. `begins`: how such a file does, for whoever left it empty.

    Raises:
        DefinitionInvalid: it is not YAML, not one document, or too large.
    """
    source = Source(file)
    source.text = _readable(source, text)
    try:
        _check_events(source)
        node = _compose(source.text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        line = source.text.split("\n")[place.line - 1 : place.line]
        if line and line[0][place.column - 1 :].startswith("\t"):
            source.refuse(place, "this is not YAML: a tab", "indent with spaces")
        said = error.problem or error.context or ""
        source.refuse(place, f"this is not YAML: {said}", _HINTS.get(said, "mend the syntax"))
    if node is None:
        source.refuse(Place(1, 1), "the file is empty", f"start with `{begins}`")
    source.data = _Builder(source).build(node, ())
    return source


def _readable(source: Source, raw: str | bytes) -> str:
    if isinstance(raw, str):
        text = raw
    else:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            place = _place_at(raw[: error.start].decode("utf-8"))
            source.refuse(place, f"byte 0x{raw[error.start]:02x} is not UTF-8", "save the file as UTF-8")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if bad := _NOT_ALLOWED.search(text):
        code = f"the character U+{ord(bad[0]):04X} is not allowed"
        source.refuse(_place_at(text[: bad.start()]), code, "remove it, and save the file as UTF-8")
    if text.lstrip()[:1] in ("{", "["):
        # JSON may write a character beyond U+FFFF as two escapes, which YAML does not know.
        text = _TWO_ESCAPES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text)
    return text


def _place_at(before: str) -> Place:
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _check_events(source: Source) -> None:
    depth = 0
    for event in yaml.parse(source.text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            mark = event.start_mark
            place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > MAX_DEPTH:
                source.refuse(place, f"nested more than {MAX_DEPTH} levels deep", "flatten it")
            if tag := getattr(event, "tag", None):
                shown = str(tag).replace("tag:yaml.org,2002:", "!!")
                source.report(place, f"the tag {shown} is not supported", "write the value alone; text goes in quotes")


def _index(text: str, value: str, start: int, end: int, offset: int) -> int:
    """The index in a file of the character `offset` of a string, found by counting what is not white space."""
    wanted = sum(not character.isspace() for character in value[:offset])
    style = text[start] if text[start] in "'\"|>" else ""
    index = text.find("\n", start) + 1 if style and style in "|>" else start + len(style)
    while index < end:
        if not text[index].isspace():
            if not wanted:
                return index
            wanted -= 1
            if (style == '"' and text[index] == "\\") or (style == "'" and text[index : index + 2] == "''"):
                index += 1
        index += 1
    return start


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
            self._source.refuse(place, what, "write the values out, or split the process")
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
            if key == "<<" and not key_node.style:
                # Silence would drop what the author meant to take in; merging is not in YAML 1.2.
                self._source.report(place, "`<<` is not supported", "write the keys out")
                continue
            if key in seen:
                first = f"it is in line {seen[key].line} already"
                self._source.report(place, f"`{key}` is written twice", f"{first}; remove or rename one")
                continue
            seen[key] = place
            self._source.keys[(*path, key)] = place
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Json:
        text: str = node.value
        if "${" in text:
            self._source.spans[path] = (text, node.start_mark.index, node.end_mark.index)
        if node.style:  # plain scalars have no style
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
