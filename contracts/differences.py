"""What differs between two JSON values, place by place: what an edit or a repair changed."""

from collections.abc import Iterator

from contracts.base import Json
from contracts.decisions import Difference


def difference(before: Json, after: Json) -> tuple[Difference, ...]:
    """The smallest places that differ, in the order of `before`, then what only `after` has.

    Paths are written as in expressions (`order.lines[2].amount`); the whole value is the empty path. What one side
    lacks is None there. Equal are values with equal JSON, and numbers that are equal.
    """
    return tuple(_differing("", before, after))


def _differing(path: str, before: Json, after: Json) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            yield from _member(f"{path}.{name}" if path else str(name), name, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        old, new = dict(enumerate(before)), dict(enumerate(after))
        for index in range(max(len(old), len(new))):
            yield from _member(f"{path}[{index}]", index, old, new)
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield Difference(path=path, before=before, after=after)


def _member(path: str, key: str | int, before: Json, after: Json) -> Iterator[Difference]:
    if key in before and key in after:
        yield from _differing(path, before[key], after[key])
    else:
        yield Difference(path=path, before=before.get(key), after=after.get(key))
