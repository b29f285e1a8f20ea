"""CEL's `filter` and `map` over long lists, in time that grows as the list does.

cel-rust copies all that such a macro has collected once for each element (github.com/cel-rust/cel-rust/issues/340):
2,000 rows take a second, in which nothing else in the process goes on, and 8,000 longer than a workflow task may. So a
long list at a plain path, such as `steps.read.output.rows`, is given to its macro a few elements at a time.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import cel

from language.uses import STRING, keys_used

PART = 50
"""Elements at a time. Measured: 8,000 rows that all fit take 0.2 s by 50, 0.9 s by 400, and 16 s all at once."""

_MACRO = re.compile(r"\s*\.\s*(all|exists|exists_one|filter|map)\s*\(")
_PATH_BEFORE = re.compile(r"(?<![\w.\])}])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$")
_UNREAD = re.compile(r"""//|'''|\"\"\"|`|(?<!\w)[bB]?[rR][bB]?['"]""")
"""Comments, and strings that are not as `STRING` reads them: such an expression is left as it is."""
_TYPED = re.compile(r"\b(?:uint|timestamp|duration|type)\s*\(|\d[uU]\b")
"""What makes values of which Python knows less than CEL does: what a `map` collects of them would not be the same."""


class _Call(NamedTuple):
    """`start` and `end`: of the whole call in the expression. `asked`: what follows the path, `.filter(x, x > 1)`."""

    start: int
    end: int
    path: tuple[str, ...]
    asked: str


@lru_cache(maxsize=32_768)
def program(expression: str) -> cel.Program:
    """Raises:
    ValueError: it is no CEL.
    """
    return cel.compile(expression)


def execute(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of a CEL text, in Python's types, with these variables.

    Raises:
        ArithmeticError, LookupError, RuntimeError, TypeError, ValueError: as the CEL library finds it.
    """
    known = dict(names)
    while (found := _long(expression, known)) is not None:
        call, elements = found
        part = _fresh(expression)
        collected, failing = _collect(part, call.asked, elements, known)
        known[part] = failing or collected
        # Whether an error matters is for CEL to say: in `a || b` it may not.
        stands = f"{part}{call.asked}" if failing else part
        expression = expression[: call.start] + stands + expression[call.end :]
    return program(expression).execute(_used(expression, known) if known.keys() - names.keys() else known)


def _collect(part: str, asked: str, elements: list[Any], names: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """What comes of the elements, and those of the first part of which nothing comes but an error."""
    ask = program(f"{part}{asked}")
    context = cel.Context(_used(f"{part}{asked}", names))  # converted once, and not for each part
    collected: list[Any] = []
    for first in range(0, len(elements), PART):
        some = elements[first : first + PART]
        context.add_variable(part, some)
        try:
            collected += ask.execute(context)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            return [], some
    return collected, []


def _used(expression: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that it uses, of objects the keys: to execute takes time for all there are, however large."""
    used: dict[str, Any] = {}
    for name in names.keys() & set(program(expression).variables()):
        value, keys = names[name], keys_used(name, expression)
        if isinstance(value, Mapping) and all(keys):
            used[name] = {key: value[key] for key in keys if key in value}
        else:
            used[name] = value
    return used


def _long(expression: str, names: Mapping[str, Any]) -> tuple[_Call, list[Any]] | None:
    """The first call for a long list, with that."""
    for call in _calls(expression):
        value: Any = names
        for name in call.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, list) and len(value) > PART:
            return call, value
    return None


@lru_cache(maxsize=32_768)
def _calls(expression: str) -> tuple[_Call, ...]:
    """Of `filter` and `map` on plain paths, without those inside another macro, where names may be its own."""
    if _UNREAD.search(expression):
        return ()
    bare = STRING.sub(lambda found: "'" * len(found[0]), expression)
    calls: list[_Call] = []
    past = 0
    for macro in _MACRO.finditer(bare):
        if macro.start() < past:
            continue
        past = _end_of_call(bare, macro.end())
        path = _PATH_BEFORE.search(bare, 0, macro.start())
        asked = expression[macro.start() : past]
        if path is not None and (macro[1] == "filter" or (macro[1] == "map" and not _TYPED.search(asked))):
            calls.append(_Call(path.start(), past, tuple(path[0].split(".")), asked))
    return tuple(calls)


def _end_of_call(bare: str, position: int) -> int:
    """Past its last parenthesis, which there is: the expression is CEL."""
    depth = 1
    while depth and position < len(bare):
        depth += {"(": 1, ")": -1}.get(bare[position], 0)
        position += 1
    return position


def _fresh(expression: str) -> str:
    """A name that the expression does not hold."""
    name = "part"
    while name in expression:
        name += "_"
    return name
