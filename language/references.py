"""What expressions refer to: names in scope, steps that exist, needs completed, circles found."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import cel

from contracts.process import Fallback, GroupStep, Process, StateStep, Step
from language import expressions
from language.source import Path, Place, Source
from language.strings import CALL, EVENT, OUTPUT, agent_strings, is_condition, step_strings, strings, trigger_strings
from language.structure import close

ALWAYS = frozenset({"input", "steps", "run", "state"})
ITEM = frozenset({"item", "index"})
CALL_DEPTH = 5
"""Of `agents.NAME.approve.N.when`."""
FUNCTIONS = frozenset(
    {"size", "string", "bytes", "double", "int", "uint", "type", "dyn", "timestamp", "duration"}
    | {"contains", "startsWith", "endsWith", "matches"}
    | {"getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
    | {"of", "none", "ofNonZeroValue", "value", "hasValue", "or", "orValue", "optMap", "optFlatMap"}
)
"""What CEL expressions can call; the macros (has, all, exists, map, filter) are gone once compiled."""

_STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_STATE = re.compile(r"(?<![\w.])state\s*\.\s*(\w+)")
_FIELD = re.compile(r"(?<![\w.])steps\s*\.\s*(\w+)\s*\.\s*(\w+)(?:\s*\.\s*(\w+))?")


@dataclass
class Scope:
    """The steps of a run or group by name. `known` also has those that were left out for their mistakes."""

    path: Path
    steps: Mapping[str, Step]
    known: frozenset[str]
    parent: "Scope | None" = None
    owner: Path | None = None

    def find(self, name: str) -> "Scope | None":
        """The scope, this one or further out, that has a step of this name."""
        scope: Scope | None = self
        while scope is not None and name not in scope.known:
            scope = scope.parent
        return scope

    def visible(self) -> frozenset[str]:
        return self.known | (self.parent.visible() if self.parent else frozenset())


@dataclass
class References:
    """Checks a process whose shape is right, and finds every step's needs.

    `outer`: steps around it, when it is a part of a run; `keys`: of the shared state that are declared around it.
    """

    source: Source
    dropped: set[Path]
    outer: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    needs: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    edges: dict[Path, dict[Path, Path]] = field(default_factory=dict)
    _instead: dict[Path, Path] = field(default_factory=dict)

    def check(self, process: Process) -> None:
        self.keys |= frozenset(process.state) | frozenset(_written(process.steps))
        self.keys |= {str(path[1]) for path in self.dropped if path[:1] == ("state",) and len(path) > 1}
        around = Scope((), {}, self.outer)
        root = self._scope(("steps",), process.steps, around, None)
        self._walk(root, frozenset())
        for path, text in strings(process.output, ("output",)):
            self._expressions(path, text, root, ALWAYS)
        for name, agent in process.agents.items():
            for path, text in agent_strings(("agents", name), agent):
                is_of_call = len(path) == CALL_DEPTH and path[-1] == "when"  # which the agent evaluates, by itself
                self._expressions(path, text, around, CALL if is_of_call else CALL | ALWAYS - {"steps"})
        for index, trigger in enumerate(process.on):
            for path, text, names in trigger_strings(("on", index), trigger):
                self._expressions(path, text, around, names)
        self._report_circles()

    def _scope(self, path: Path, steps: Mapping[str, Step], parent: Scope | None, owner: Path | None) -> Scope:
        gone = {str(bad[-1]) for bad in self.dropped if bad[:-1] == path}
        written = frozenset(name for name in steps if (*path, name) in self.source.places)
        return Scope(path, steps, written | gone, parent, owner)

    def _walk(self, root: Scope, item_names: frozenset[str]) -> None:
        pending = [(root, item_names)]
        while pending:
            scope, names = pending.pop()
            for name, step in scope.steps.items():
                path = (*scope.path, name)
                inside = names | ITEM if step.for_each is not None else names
                self._step(scope, path, step, names, inside)
                if isinstance(step, GroupStep):
                    pending.append((self._scope((*path, "steps"), step.steps, scope, path), inside))

    def _step(self, scope: Scope, path: Path, step: Step, outer: frozenset[str], inner: frozenset[str]) -> None:
        needs: dict[str, Path] = {}
        for index, name in enumerate(step.needs):
            at = (*path, "needs", index)
            if scope.find(name) is None:
                hint = close(name, scope.visible() - {str(path[-1])})
                self.source.report(self.source.place(at), f"there is no step `{name}`", hint)
            else:
                needs[name] = at
        for at, text, extra in step_strings(path, step):
            names = ALWAYS | (outer if at[len(path)] == "for_each" else inner) | extra
            for name in self._expressions(at, text, scope, names):
                needs.setdefault(name, at)
        self.needs[path] = tuple(needs)
        self._join(path, step, len(needs))
        edges = self.edges.setdefault(path, {})
        if isinstance(step.on_failure, Fallback):
            self._fallback(scope, path, step.on_failure.fallback, edges)
        for name, at in needs.items():
            found = scope.find(name)
            if found is not None:
                edges[(*found.path, name)] = at
        if scope.owner is not None:
            self._inside(scope.owner, path, edges)

    def _inside(self, owner: Path, path: Path, edges: dict[Path, Path]) -> None:
        """A group is done when what is in it is; what is in it starts after what the group needs."""
        self.edges.setdefault(owner, {})[path] = owner
        for target, at in self.edges.get(owner, {}).items():
            if target[: len(owner)] != owner or target == owner:
                edges.setdefault(target, at)

    def _join(self, path: Path, step: Step, needs: int) -> None:
        place = self.source.place((*path, "join"))
        if step.join != "all" and not needs:
            self.source.report(place, "`join` says how many needs must settle, and the step has none", "add `needs`")
        elif isinstance(step.join, int) and step.join > needs:
            self.source.report(place, f"`join` is {step.join}, but there are {needs} needs", f"write at most {needs}")

    def _fallback(self, scope: Scope, path: Path, name: str, edges: dict[Path, Path]) -> None:
        at = (*path, "on_failure", "fallback")
        target = (*scope.path, name)
        if name not in scope.known:
            hint = close(name, scope.known - {str(path[-1])})
            self.source.report(self.source.place(at), f"there is no step `{name}` beside this one", hint)
        elif (other := self._instead.setdefault(target, path)) != path:
            message = f"`{name}` is the fallback of `{_name(other)}` already"
            self.source.report(self.source.place(at), message, "give each step a fallback of its own")
        else:
            edges[target] = at

    def _expressions(self, path: Path, text: str, scope: Scope, names: frozenset[str]) -> list[str]:
        """The steps that a text refers to; what is wrong with its expressions is reported."""
        try:
            parts = expressions.split(text)
        except expressions.UnclosedExpression as error:
            self.source.report(
                self.source.inside(path, error.offset), str(error), "close it, or write $${ for a literal ${"
            )
            return []
        if is_condition(path) and (len(parts) != 1 or not parts[0][2]):
            whole = "one whole ${ }" if any(part[2] for part in parts) else f"${{ {text} }}"
            self.source.report(self.source.place(path), f"`{path[-1]}` is text, not an expression", f"write {whole}")
        found: list[str] = []
        for offset, expression, is_expression in parts:
            if is_expression:
                found.extend(self._expression(path, offset, expression, scope, names))
        return found

    def _expression(
        self, path: Path, offset: int, expression: str, scope: Scope, names: frozenset[str]
    ) -> Iterator[str]:
        place = self.source.inside(path, offset)
        if wrong := expressions.syntax_error(expression):
            message, line, column = wrong
            before = expression.split("\n")[: line - 1]
            at = self.source.inside(path, offset + sum(len(text) + 1 for text in before) + column - 1)
            self.source.report(at, f"`{expression}` is no CEL expression: {message}", _syntax_hint(expression))
            return
        for name in sorted(expressions.names_used(expression) - names):
            known = names if self.keys else names - {"state"}
            self.source.report(place, f"unknown name `{name}`", _scope_hint(name, known))
        for name in sorted(name for name in cel.compile(expression).functions() if name.isidentifier()):
            if name not in FUNCTIONS:
                self.source.report(place, f"unknown function `{name}`", close(name, FUNCTIONS))
        self._fields(place, expression, scope)
        if "state" in expressions.names_used(expression):
            for key in sorted(set(_STATE.findall(_STRING.sub("''", expression))) - self.keys):
                hint = f"declare it under `state`, or write it in a step; {close(key, self.keys)}"
                self.source.report(place, f"nothing writes `state.{key}`", hint)
        if expressions.uses_steps_dynamically(expression):
            self.source.report(place, "`steps` must be followed by a step's id", "write steps.ID.output")
        for name in sorted(expressions.steps_used(expression)):
            if scope.find(name) is None:
                self.source.report(place, f"there is no step `{name}`", self._step_hint(scope, name))
            else:
                yield name

    def _fields(self, place: Place, expression: str, scope: Scope) -> None:
        """`steps.ID.` goes on with `output` or `status`; of a group's output, with a step of the group."""
        for name, attribute, inner in _FIELD.findall(_STRING.sub("''", expression)):
            found = scope.find(name)
            step = found.steps.get(name) if found else None
            if attribute not in ("output", "status"):
                hint = f"write steps.{name}.output.{attribute}"
                self.source.report(place, f"`steps.{name}.{attribute}`: a step has output and status", hint)
            elif inner and found and attribute == "output" and isinstance(step, GroupStep) and step.for_each is None:
                inside = self._scope((*found.path, name, "steps"), step.steps, None, None).known
                if inner not in inside:
                    self.source.report(place, f"there is no step `{inner}` in group `{name}`", close(inner, inside))

    def _step_hint(self, scope: Scope, name: str) -> str:
        outermost = scope
        while outermost.parent is not None and outermost.parent.steps:
            outermost = outermost.parent
        groups = {key: step for key, step in outermost.steps.items() if isinstance(step, GroupStep)}
        for key, group in groups.items():
            if name in group.steps:
                return f"it is inside group `{key}`: write steps.{key}.output.{name}"
        return close(name, scope.visible())

    def _report_circles(self) -> None:
        """Every circle once: depth first, a step on the way back to itself closes one."""
        done: set[Path] = set()
        for start in self.edges:
            if start not in done:
                self._search(start, done)

    def _search(self, start: Path, done: set[Path]) -> None:
        way: list[Path] = [start]
        on_way = {start}
        branches = [iter(self.edges.get(start, {}).items())]
        while way:
            step = next(branches[-1], None)
            if step is None:
                on_way.discard(way[-1])
                done.add(way.pop())
                branches.pop()
                continue
            target, at = step
            if target in on_way:
                circle = [*way[way.index(target) :], target]
                names = " -> ".join(_name(path) for path in circle)
                hint = "a step cannot need itself" if len(circle) == 2 else "remove one of these needs"
                self.source.report(self.source.place(at), f"the needs go in a circle: {names}", hint)
            elif target not in done:
                way.append(target)
                on_way.add(target)
                branches.append(iter(self.edges.get(target, {}).items()))


def _written(steps: Mapping[str, Step]) -> Iterator[str]:
    """The keys of the shared state that steps write."""
    for step in steps.values():
        if isinstance(step, StateStep):
            yield step.state.key
        elif isinstance(step, GroupStep):
            yield from _written(step.steps)


def _syntax_hint(expression: str) -> str:
    bare = _STRING.sub("''", expression)
    if re.search(r"(?<![=!<>])=(?!=)", bare):
        return "compare with =="
    if word := re.search(r"\b(and|or|not)\b", bare):
        return f"write {dict(zip(('and', 'or', 'not'), ('&&', '||', '!'), strict=True))[word[0]]} for `{word[0]}`"
    return "see https://cel.dev"


def _scope_hint(name: str, names: frozenset[str]) -> str:
    if name in ITEM:
        return "it is there under for_each only"
    if name in OUTPUT:
        return "it is there in success, undo and repeat.until only"
    if name in EVENT:
        return "it is there in match only, and in `on`"
    if name in CALL:
        return "it is there in an agent's `approve` only"
    return f"in scope here: {', '.join(sorted(names))}; text goes in quotes inside ${{ }}"


def _name(path: Path) -> str:
    return ".".join(str(part) for part in path[1::2])
