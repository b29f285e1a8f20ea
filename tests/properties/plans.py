"""Random plans: what the engine is asked to run, and what happens to it meanwhile."""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

MAX_STEPS = 12
INPUT = {"yes": True, "no": False, "n": 2, "list": ["p", "q"], "nothing": []}
NAMES = "abcdefghijkl"
UNDO = {"tool": "do.undo", "with": {"of": "${ output.id }"}}
GROUP_UNDO = {"tool": "do.undo", "with": {"of": "the group"}}
BY_HAND = {"id": "hand", "what": "by hand", "many": [7], "n": 1}
ACTIONS = {
    "skip": None,
    "complete": BY_HAND,
    "retry": None,
    "amend": {"what": "amended"},
    "abort": None,
    "abort-without-undo": {"undo": False},
}


class _Plain(yaml.SafeDumper):
    """Without anchors, to be read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass(frozen=True)
class Plan:
    """A process and what happens around it.

    `choices`: which of the things that can happen next does, when all is at rest; None: whatever comes first.
    `answers`: what operators do about incidents, first one first, then skip them. `cancel`: after so many choices,
    with undo or not.
    """

    process: dict[str, Any]
    choices: tuple[int, ...] | None
    answers: tuple[str, ...]
    cancel: tuple[int, bool] | None

    @property
    def may_park(self) -> bool:
        return "'ask'" in str(self.process)

    def __str__(self) -> str:
        text = yaml.dump(self.process, Dumper=_Plain, sort_keys=False, width=110)
        return f"{text}# input {INPUT}\n# choices {self.choices}, answers {self.answers}, cancel {self.cancel}"


@dataclass
class _Writing:
    """A scope being written. `seen`: the steps that can be referred to, by name. `left`: how many more there can be."""

    draw: DrawFn
    left: list[int]
    depth: int
    seen: dict[str, dict[str, Any]]
    is_item: bool = False
    in_group: bool = False

    def chance(self, of_ten: int) -> bool:
        """True in so many cases of ten; shrinks to False."""
        return self.draw(st.integers(0, 9)) >= 10 - of_ten

    def one_of(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))


@st.composite
def plans(draw: DrawFn) -> Plan:
    left = [draw(st.integers(1, MAX_STEPS))]
    steps = _steps(_Writing(draw, left, depth=2, seen={}))
    output = {name: f"${{ steps.{name}.output }}" for name in steps if not steps[name].get("state")}
    process: dict[str, Any] = {"process": "plan", "steps": steps, "output": output}
    if any("state" in step for step in steps.values()):
        process["state"] = {"total": {"initial": 0}, "log": {"initial": []}}
        output["total of the state"] = "${ state.total }"
    answers = tuple(draw(st.lists(st.sampled_from(list(ACTIONS)), max_size=3)))
    choices = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=12)))
    cancel = (draw(st.integers(0, 8)), draw(st.booleans())) if draw(st.integers(0, 4)) == 4 else None
    stops = "'fail'" in str(process) or any("abort" in answer for answer in answers)
    if cancel is None and not stops and "'join'" not in str(process):
        # Elsewhere what comes of two calls depends on which ended first, and of two that end at once nobody can tell.
        choices = draw(st.sampled_from([choices, None]))
    return Plan(process, choices, answers, cancel)


def _steps(writing: _Writing) -> dict[str, dict[str, Any]]:
    """The steps of one scope. A name of an outer step may be taken again, which hides that step from the scope."""
    count = writing.draw(st.integers(1, min(4, writing.left[0]))) if writing.in_group else writing.left[0]
    names = NAMES[:count]
    writing.seen = {name: step for name, step in writing.seen.items() if name not in names}
    steps: dict[str, dict[str, Any]] = {}
    for name in names:
        if writing.left[0] <= 0 and steps:
            break
        writing.left[0] -= 1
        steps[name] = writing.seen[name] = _step(writing, steps)
    _add_fallbacks(writing, steps)
    order = writing.draw(st.permutations(list(steps))) if writing.chance(3) else list(steps)
    return {name: steps[name] for name in order}


def _step(writing: _Writing, here: dict[str, dict[str, Any]]) -> dict[str, Any]:
    step: dict[str, Any] = {}
    if here and writing.chance(5):
        step["needs"] = writing.draw(st.lists(st.sampled_from(list(here)), min_size=1, max_size=3, unique=True))
    if len(step.get("needs", ())) > 1 and writing.chance(5):
        step["join"] = writing.one_of("any", *range(1, len(step["needs"]) + 1))
        if writing.chance(8) and _are_apart(here, step["needs"]):
            step["cancel_rest"] = True
    if not writing.in_group and writing.chance(1):
        writes = {"key": "total", "add": 1}, {"key": "total", "add": 10}, {"key": "log", "append": "line"}
        step["state"] = writing.one_of(*writes)
        return _with_when(writing, step)
    is_item = writing.is_item
    if writing.chance(2):
        step["for_each"] = writing.one_of(["x", "y", "z"], [1, 2], [], "${ input.list }", *_lists(writing))
        if writing.chance(3):
            step["parallel"] = writing.one_of(1, 2)
        is_item = True
    _with_when(writing, step, is_item=is_item)
    if writing.depth and writing.left[0] >= 1 and writing.chance(2):
        inner = _Writing(writing.draw, writing.left, writing.depth - 1, dict(writing.seen), is_item, in_group=True)
        step["steps"] = _steps(inner)
        return _finish(writing, step, GROUP_UNDO, may_fail=_with_group_success(writing, step))
    if writing.chance(2):
        step["repeat"] = {"until": f"${{ output.n == {writing.one_of(2, 1, 5)} }}", "max": writing.one_of(3, 2)}
    step["tool"] = "do.work"
    step["with"] = {"what": writing.draw(_values(writing, is_item=is_item, settled="join" not in step))}
    if writing.chance(2):
        step["with"]["many"] = writing.one_of(["m"], [3, 4], [])
    return _finish(writing, step, UNDO, may_fail=_with_failure(writing, step, is_item=is_item))


def _with_when(writing: _Writing, step: dict[str, Any], *, is_item: bool = False) -> dict[str, Any]:
    if writing.chance(3):
        conditions = ["${ input.yes }", "${ input.no }", "${ input.n > 1 }"]
        conditions += [f"${{ steps.{name}.status == 'completed' }}" for name in writing.seen]
        conditions += [f"${{ steps.{name}.output != null }}" for name in writing.seen]
        conditions += ["${ index == 0 }", "${ item != 'y' }"] if is_item else []
        step["when"] = writing.draw(st.sampled_from(conditions))
    return step


def _with_failure(writing: _Writing, step: dict[str, Any], *, is_item: bool) -> bool:
    """Make a call fail, maybe."""
    match writing.draw(st.integers(0, 9)):
        case 9:
            step["with"]["fails"] = True
        case 8 if is_item:
            step["with"]["fails"] = "${ index == 1 }"
        case 8 if "repeat" in step:
            step["with"]["fails_at"] = 2
        case 8:
            step["success"] = writing.one_of("${ output.n == 9 }", "${ output.what == 'yes' }", "${ output.what }")
        case _:
            return _may_fail_by_itself(step)
    return True


def _with_group_success(writing: _Writing, step: dict[str, Any]) -> bool:
    if writing.chance(1):
        step["success"] = f"${{ output.{next(iter(step['steps']))} != null }}"
    return "success" in step


def _may_fail_by_itself(step: dict[str, Any]) -> bool:
    return "steps." in str(step.get("with")) or "steps." in str(step.get("for_each")) or "repeat" in step


def _finish(writing: _Writing, step: dict[str, Any], undo: dict[str, Any], *, may_fail: bool) -> dict[str, Any]:
    if writing.chance(6):
        step["undo"] = undo
    if may_fail:
        step["on_failure"] = writing.one_of("continue", "fail", "ask")
    return step


def _add_fallbacks(writing: _Writing, steps: dict[str, dict[str, Any]]) -> None:
    """Have some steps that can fail stood in for by a later one that needs nothing. Neither is one that a
    `cancel_rest` may cancel: the page does not say what becomes of the other."""
    raced = {need for step in steps.values() if step.get("cancel_rest") for need in step["needs"]}
    free = [name for name in steps if _is_plain(steps[name]) and not _refers(steps[name]) and name not in raced]
    for name, step in steps.items():
        later = [other for other in free if other > name]
        if later and "on_failure" in step and "for_each" not in step and name not in raced and writing.chance(5):
            step["on_failure"] = {"fallback": later[0]}
            free.remove(later[0])


def _are_apart(steps: dict[str, dict[str, Any]], names: list[str]) -> bool:
    """Whether no two of these can become ready or settle at one moment, so that it is clear which one cancels which."""
    return all(_takes_a_call(steps[name]) and not _all_needs(steps, name) & set(names) - {name} for name in names)


def _takes_a_call(step: dict[str, Any]) -> bool:
    """Whether it cannot settle, unless it is skipped, before a call in it has ended."""
    if "steps" in step and not any("when" not in inner and _takes_a_call(inner) for inner in step["steps"].values()):
        return False
    items = step.get("for_each", ["one"])
    own = {key: value for key, value in step.items() if key not in ("steps", "when")}
    sure = items and items != "${ input.nothing }" and not re.search("item|index", step.get("when", ""))
    return bool(sure) and "state" not in step and "steps." not in str(own)


def _all_needs(steps: dict[str, dict[str, Any]], name: str) -> set[str]:
    """The steps of this scope that a step waits for, and those that they wait for."""
    found, left = set[str](), [name]
    while left:
        text = str(steps[left.pop()])
        names = {other for other in steps if f"steps.{other}." in text or f"'{other}'" in text}
        left += names - found
        found |= names
    return found


def _refers(step: dict[str, Any]) -> bool:
    return "needs" in step or "steps." in str(step)


def _is_plain(step: dict[str, Any]) -> bool:
    """One call of a tool."""
    return "tool" in step and "for_each" not in step and "repeat" not in step


def _lists(writing: _Writing) -> list[str]:
    return [f"${{ steps.{name}.output.many }}" for name, step in writing.seen.items() if _is_plain(step)]


def _values(writing: _Writing, *, is_item: bool, settled: bool) -> st.SearchStrategy[Any]:
    """What a step is given: a constant, an input, something of a step before it, an item. What the status of a step
    that has not `settled` is called, the page does not say."""
    found: list[Any] = [1, "text", "${ input.n }"]
    found += ["${ item }", "${ index }"] if is_item else []
    for name, step in writing.seen.items():
        if settled:
            found.append(f"${{ steps.{name}.status }}")
        if "state" not in step:
            found += [f"${{ steps.{name}.output }}", *_parts(name, step)]
    return st.sampled_from(found)


def _parts(name: str, step: dict[str, Any]) -> list[str]:
    """References into an output: null when the step did not run, so that they fail."""
    if "for_each" in step:
        return [f"${{ size(steps.{name}.output) }}"]
    if "steps" in step:
        return [f"${{ steps.{name}.output.{inner} }}" for inner, made in step["steps"].items() if "state" not in made]
    return [f"${{ steps.{name}.output.what }}"] * 2
