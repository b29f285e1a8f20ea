"""What expressions refer to: names in scope, steps that exist, needs completed, circles found."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import cel

from contracts.base import Json
from contracts.process import AgentStep, ApprovalStep, GroupStep, Process, Step, Until, WaitStep
from language import expressions
from language.source import Path, Place, Source
from language.structure import close

ALWAYS = frozenset({"input", "steps", "run"})
ITEM = frozenset({"item", "index"})
OUTPUT = frozenset({"output"})
CONDITIONS = frozenset({"when", "success", "for_each"})
FUNCTIONS = frozenset(
    {"size", "string", "bytes", "double", "int", "uint", "type", "dyn", "timestamp", "duration"}
    | {"contains", "startsWith", "endsWith", "matches"}
    | {"getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
    | {"of", "none", "ofNonZeroValue", "value", "hasValue", "or", "orValue", "optMap", "optFlatMap"}
)
"""What CEL expressions can call; the macros (has, all, exists, map, filter) are gone once compiled."""

_STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
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
    """Checks a process whose shape is right, and finds every step's needs."""

    source: Source
    dropped: set[Path]
    needs: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    edges: dict[Path, dict[Path, Path]] = field(default_factory=dict)

    def check(self, process: Process) -> None:
        root = self._scope(("steps",), process.steps, None, None)
        self._walk(root, frozenset())
        for path, text in _strings(process.output, ("output",)):
            self._expressions(path, text, root, ALWAYS)
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
        for at, text, extra in _step_strings(path, step):
            names = ALWAYS | (outer if at[len(path)] == "for_each" else inner) | extra
            for name in self._expressions(at, text, scope, names):
                needs.setdefault(name, at)
        self.needs[path] = tuple(needs)
        edges = self.edges.setdefault(path, {})
        for name, at in needs.items():
            found = scope.find(name)
            if found is not None:
                edges[(*found.path, name)] = at
        if scope.owner is not None:
            # A group is done when what is in it is; what is in it starts after what the group needs.
            self.edges.setdefault(scope.owner, {})[path] = scope.owner
            for target, at in self.edges.get(scope.owner, {}).items():
                if target[: len(scope.owner)] != scope.owner or target == scope.owner:
                    edges.setdefault(target, at)

    def _expressions(self, path: Path, text: str, scope: Scope, names: frozenset[str]) -> list[str]:
        """The steps that a text refers to; what is wrong with its expressions is reported."""
        try:
            parts = expressions.split(text)
        except expressions.UnclosedExpression as error:
            self.source.report(
                self.source.inside(path, error.offset), str(error), "close it, or write $${ for a literal ${"
            )
            return []
        if path[-1] in CONDITIONS and (len(parts) != 1 or not parts[0][2]) and not _is_argument(path):
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
            self.source.report(place, f"unknown name `{name}`", _scope_hint(name, names))
        for name in sorted(name for name in cel.compile(expression).functions() if name.isidentifier()):
            if name not in FUNCTIONS:
                self.source.report(place, f"unknown function `{name}`", close(name, FUNCTIONS))
        self._fields(place, expression, scope)
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
        while outermost.parent is not None:
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


def _step_strings(path: Path, step: Step) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Every string of a step that may hold expressions, with the names that are in scope there alone."""
    none: frozenset[str] = frozenset()
    found: list[tuple[str, Json, frozenset[str]]] = [
        ("for_each", step.for_each, none),
        ("when", step.when, none),
        ("with", step.with_, none),
        ("success", step.success, OUTPUT),
    ]
    if step.undo is not None:
        found.append(("undo", {"with": step.undo.with_}, OUTPUT))
    if isinstance(step, AgentStep):
        found.append(("task", step.task, none))
    if isinstance(step, WaitStep) and isinstance(step.wait, Until):
        found.append(("wait", {"until": step.wait.until}, none))
    if isinstance(step, ApprovalStep):
        approval = step.approval
        rows = [{"when": row.when} for row in approval.from_]
        found.append(("approval", {"title": approval.title, "show": approval.show, "from": rows}, none))
    for key, value, extra in found:
        for at, text in _strings(value, (*path, key)):
            yield at, text, extra


def _strings(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))


def _is_argument(path: Path) -> bool:
    """Whether a path is inside `with` or `show`, where a key that is called `when` means nothing."""
    inside = path[:-1]
    return any(key in inside for key in ("with", "show", "output"))


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
        return "it is there in success and undo only"
    return f"in scope here: {', '.join(sorted(names))}; text goes in quotes inside ${{ }}"


def _name(path: Path) -> str:
    return ".".join(str(part) for part in path[1::2])
