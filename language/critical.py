"""The critical path of a graph of steps: the chain that decides how long the whole takes (Kelley and Walker, 1959)."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol


class Weighed(Protocol):
    """A step. `seconds`: how long it took; None counts every step alike."""

    @property
    def id(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def inner(self) -> Sequence["Weighed"]: ...


def critical_path(steps: Sequence[Weighed]) -> list[str]:
    """Ids of the steps on it, first one first; a group is followed by those inside it that are on it."""
    return _longest(steps)[1]


def _longest(steps: Sequence[Weighed]) -> tuple[float, list[str]]:
    known = {step.id: step for step in steps}
    inside = {step.id: _longest(step.inner) for step in steps if step.inner}
    best: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for step_id in _in_order(known):
        needs = [need for need in known[step_id].needs if need in known]
        last = max(needs, key=lambda need: best[need], default=None)
        before[step_id] = last
        best[step_id] = _weight(known[step_id], inside) + (best[last] if last is not None else 0.0)
    if not best:
        return 0.0, []
    end: str | None = max(best, key=lambda step_id: best[step_id])
    total, path = best[end or ""], []
    while end is not None:
        path.append([end, *inside.get(end, (0.0, []))[1]])
        end = before[end]
    return total, [step_id for part in reversed(path) for step_id in part]


def _in_order(known: Mapping[str, Weighed]) -> list[str]:
    sorter = TopologicalSorter({key: [need for need in step.needs if need in known] for key, step in known.items()})
    try:
        return list(sorter.static_order())
    except CycleError:
        return []


def _weight(step: Weighed, inside: Mapping[str, tuple[float, list[str]]]) -> float:
    """A step that took no time still lengthens a chain, by less than any that did."""
    if step.seconds is not None:
        return step.seconds + 1e-6
    return inside[step.id][0] if step.id in inside else 1.0
