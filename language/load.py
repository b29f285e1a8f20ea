"""From the text of a process file to the definition its runs travel with, or every mistake in it at once."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from contracts.base import Json
from contracts.errors import DefinitionInvalid
from contracts.process import AgentSpec, AgentStep, GroupStep, Process, ProcessStep, Step, ToolStep, Undo
from contracts.run import Definition
from contracts.tools import ToolSpec, granted
from language.expressions import texts
from language.references import References
from language.schema import schema_error, violations
from language.source import Path, Source, load_yaml
from language.structure import close, parse


def load_process(
    text: str | bytes, file: str, *, tools: Mapping[str, ToolSpec], processes: Collection[str] = ()
) -> Definition:
    """Check a process file and complete its steps' needs.

    Args:
        text: YAML or JSON; bytes are UTF-8.
        file: how problems name the file.
        tools: every tool there is, by name.
        processes: names of the processes that `process:` steps can run.

    Raises:
        DefinitionInvalid: with every mistake, in the order of their places.
    """
    source = load_yaml(text, file)
    process, dropped = parse(source)
    needs: Mapping[Path, tuple[str, ...]] = {}
    if process is not None:
        references = References(source, dropped)
        references.check(process)
        _Names(source, dropped, tools, processes).check(process)
        needs = references.needs
    if source.problems or process is None:
        unique = {str(problem): problem for problem in source.problems}
        raise DefinitionInvalid(sorted(unique.values(), key=lambda problem: (problem.line, problem.column)))
    process = process.model_copy(update={"steps": _completed(process.steps, ("steps",), needs)})
    return _definition(process, tools)


def walk(steps: Mapping[str, Step], path: Path = ("steps",)) -> Iterator[tuple[Path, Step]]:
    """Every step with its place in the file, outer before inner."""
    for name, step in steps.items():
        yield (*path, name), step
        if isinstance(step, GroupStep):
            yield from walk(step.steps, (*path, name, "steps"))


def _completed(steps: Mapping[str, Step], path: Path, needs: Mapping[Path, tuple[str, ...]]) -> dict[str, Step]:
    made: dict[str, Step] = {}
    for name, step in steps.items():
        here = (*path, name)
        changes: dict[str, Any] = {}
        if needs[here] != step.needs:
            changes["needs"] = needs[here]
        if isinstance(step, GroupStep):
            changes["steps"] = _completed(step.steps, (*here, "steps"), needs)
        made[name] = step.model_copy(update=changes) if changes else step
    return made


def _definition(process: Process, tools: Mapping[str, ToolSpec]) -> Definition:
    used: set[str] = set()
    for _, step in walk(process.steps):
        if isinstance(step, ToolStep):
            used.add(step.tool)
        if isinstance(step, AgentStep):
            used.update(granted(process.agents[step.agent].tools, tools))
        if step.undo is not None:
            used.add(step.undo.tool)
    used.update([check for name in used if (check := tools[name].check) is not None])
    chosen = {name: tools[name] for name in sorted(used)}
    made = Definition(process=process, tools=chosen, hash="")
    canonical = to_json([made.model_dump(mode="json")["process"], {key: chosen[key] for key in sorted(chosen)}])
    return made.model_copy(update={"hash": hashlib.sha256(canonical).hexdigest()})


class _Names:
    """Tools, agents and processes that are named exist, arguments fit, schemas are schemas."""

    def __init__(
        self, source: Source, dropped: set[Path], tools: Mapping[str, ToolSpec], processes: Collection[str]
    ) -> None:
        self._source = source
        self._dropped = dropped
        self._tools = tools
        self._processes = processes

    def check(self, process: Process) -> None:
        self._schema(process.input, ("input",))
        for name, agent in process.agents.items():
            self._agent(agent, ("agents", name))
        agents = set(process.agents) | {str(path[1]) for path in self._dropped if path[:1] == ("agents",)}
        for path, step in walk(process.steps):
            if step.output is not None:
                self._schema(step.output, (*path, "output"))
            if step.undo is not None:
                self._undo(step.undo, (*path, "undo"))
            if isinstance(step, ToolStep):
                self._call(step.tool, (*path, "tool"), step.with_, (*path, "with"))
            elif isinstance(step, AgentStep) and step.agent not in agents:
                self._report((*path, "agent"), f"there is no agent `{step.agent}`", close(step.agent, agents))
            elif isinstance(step, ProcessStep) and step.process not in self._processes:
                hint = close(step.process, self._processes)
                self._report((*path, "process"), f"there is no process `{step.process}`", hint)

    def _report(self, path: Path, message: str, hint: str) -> None:
        self._source.report(self._source.place(path), message, hint)

    def _schema(self, schema: Json, path: Path) -> None:
        if error := schema_error(schema):
            self._report(path, f"`{path[-1]}` is no JSON Schema: {error}", "see https://json-schema.org")

    def _agent(self, agent: AgentSpec, path: Path) -> None:
        for index, pattern in enumerate(agent.tools):
            if not granted((pattern,), self._tools):
                self._report((*path, "tools", index), f"no tool matches `{pattern}`", close(pattern, self._tools))

    def _undo(self, undo: Undo, path: Path) -> None:
        self._call(undo.tool, (*path, "tool"), undo.with_, (*path, "with"))

    def _call(self, tool: str, at: Path, args: Mapping[str, Json], args_at: Path) -> None:
        spec = self._tools.get(tool)
        if spec is None:
            self._report(at, f"there is no tool `{tool}`", close(tool, self._tools))
            return
        if spec.check is not None and spec.check not in self._tools:
            hint = f"write the tool `{spec.check}`, or take `check` off `{tool}`"
            self._report(at, f"`{tool}` is checked by the tool `{spec.check}`, which is not there", hint)
        properties: Mapping[str, Any] = spec.parameters.get("properties", {})
        for name in spec.parameters.get("required", ()):
            if name not in args:
                self._report(at, f"`{tool}` needs the argument `{name}`", "give it in `with`")
        for name, value in args.items():
            if name not in properties:
                hint = close(name, properties)
                self._source.report(self._source.key((*args_at, name)), f"`{tool}` takes no argument `{name}`", hint)
            elif not any("${" in text for text in texts(value)):
                schema = {**properties[name], "$defs": spec.parameters.get("$defs", {})}
                for wrong in violations(schema, value):
                    self._report(
                        (*args_at, name), f"argument `{name}` of `{tool}`: {wrong}", "see the tool's parameters"
                    )
