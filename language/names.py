"""Tools, agents, processes and schedules that a process names exist; arguments fit; schemas are schemas."""

import zoneinfo
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from contracts.base import Json
from contracts.grants import Grant, constraints_of, pattern_of
from contracts.process import (
    PLANNER,
    AgentSpec,
    AgentStep,
    GoalStep,
    GroupStep,
    Process,
    ProcessStep,
    StateKey,
    Step,
    ToolStep,
)
from contracts.tools import PROCESS_PREFIX, ToolSpec, granted
from contracts.triggers import ScheduleTrigger, Trigger
from language.expressions import texts
from language.grants import problems
from language.schema import no_words, schema_error, violations
from language.source import Path, Source
from language.structure import close

NAMED_SCHEDULES = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})


def walk(steps: Mapping[str, Step], path: Path = ("steps",)) -> Iterator[tuple[Path, Step]]:
    """Every step with its place in the file, outer before inner."""
    for name, step in steps.items():
        yield (*path, name), step
        if isinstance(step, GroupStep):
            yield from walk(step.steps, (*path, name, "steps"))


class Names:
    """Tools, agents and processes that are named exist, arguments fit, schemas are schemas."""

    def __init__(
        self,
        source: Source,
        dropped: set[Path],
        tools: Mapping[str, ToolSpec],
        processes: Collection[str],
        *,
        planned: bool = False,
    ) -> None:
        """`planned`: these are steps that a planner wrote for a goal, not a file."""
        self._source = source
        self._dropped = dropped
        self._tools = tools
        self._processes = processes
        self._planned = planned

    def check(self, process: Process) -> None:
        self._schema(process.input, ("input",))
        for key, declared in process.state.items():
            self._state(declared, ("state", key))
        for index, trigger in enumerate(process.on):
            self._trigger(process, trigger, ("on", index))
        left_out = {str(path[1]) for path in self._dropped if path[:1] == ("agents",) and len(path) > 1}
        agents = set(process.agents) | left_out
        for name, agent in process.agents.items():
            if not self._planned:  # A plan's agents are those of the file, with what they have there.
                self._agent(name, agent, agents)
        for path, step in walk(process.steps):
            self._step(step, path)
            if isinstance(step, ToolStep):
                self._call(step.tool, (*path, "tool"), step.with_, (*path, "with"))
            elif isinstance(step, AgentStep):
                self._known(step.agent, agents, "agent", (*path, "agent"))
            elif isinstance(step, GoalStep):
                self._goal(step, agents, path)
            elif isinstance(step, ProcessStep) and not self._planned:
                self._known(step.process, self._processes, "process", (*path, "process"))

    def _step(self, step: Step, path: Path) -> None:
        if step.output is not None:
            self._schema(step.output, (*path, "output"))
        if step.undo is not None:
            self._call(step.undo.tool, (*path, "undo", "tool"), step.undo.with_, (*path, "undo", "with"))
        if step.on_failure == "replan" and not self._planned:
            message = "`on_failure: replan` is for steps that a goal's planner wrote"
            self._report((*path, "on_failure"), message, "write ask, fail, continue or {fallback: step}")

    def _agent(self, name: str, agent: AgentSpec, agents: Collection[str]) -> None:
        path: Path = ("agents", name)
        self._patterns(agent.tools, (*path, "tools"))
        self._approvals(agent, (*path, "approve"))
        others: dict[Path, tuple[str, ...]] = {
            ("agents",): agent.agents,
            ("peers",): agent.peers,
            ("hand_over",): agent.hand_over,
            ("debate", "among"): agent.debate.among if agent.debate else (),
        }
        for key, listed in others.items():
            for index, other in enumerate(listed):
                self._known(other, agents, "agent", (*path, *key, index))
                if other == name:
                    message = f"`{name}` lists itself"
                    self._report(
                        (*path, *key, index), message, "list others; an agent goes on by itself until it answers"
                    )
        for schema, where in ((agent.input, "input"), (agent.output, "output")):
            if schema is not None:
                self._schema(schema, (*path, where))
        if agent.input is not None and agent.input.get("type") != "object":
            message = f"what `{name}` takes is no object"
            self._report((*path, "input"), message, "write `type: object` and its `properties`")

    def _goal(self, goal: GoalStep, agents: Collection[str], path: Path) -> None:
        for index, name in enumerate(goal.agents):
            self._known(name, agents, "agent", (*path, "agents", index))
        if goal.planner != PLANNER:
            self._known(goal.planner, agents, "agent", (*path, "planner"))
        self._patterns(goal.tools, (*path, "tools"))
        for index, pattern in enumerate(goal.tools):
            if pattern.startswith(PROCESS_PREFIX):
                hint = "grant it to one of the goal's agents"
                self._report((*path, "tools", index), "the plan of a goal cannot run processes", hint)
        if not self._planned and not goal.agents and not goal.tools:
            hint = "grant what its plan may use: `agents: [...]`, `tools: [...]`"
            self._report((*path, "goal"), f"goal `{path[-1]}` has neither agents nor tools", hint)

    def _known(self, name: str, known: Collection[str], what: str, at: Path) -> None:
        if name not in known:
            self._report(at, f"there is no {what} `{name}`", close(name, known))

    def _state(self, declared: StateKey, path: Path) -> None:
        self._schema(declared.schema_, (*path, "schema"))
        if "initial" in declared.model_fields_set and schema_error(declared.schema_) is None:
            for wrong in violations(declared.schema_, declared.initial):
                self._report((*path, "initial"), f"the first value of `{path[-1]}` does not fit: {wrong}", "")

    def _trigger(self, process: Process, trigger: Trigger, path: Path) -> None:
        if isinstance(trigger, ScheduleTrigger):
            if wrong := schedule_error(trigger.schedule):
                hint = "write minute hour day month weekday, such as 0 9 * * MON-FRI, or @daily"
                self._report((*path, "schedule"), f"`{trigger.schedule}` is no schedule: {wrong}", hint)
            if trigger.timezone not in zoneinfo.available_timezones():
                self._report(
                    (*path, "timezone"), f"there is no time zone `{trigger.timezone}`", "such as Europe/Berlin"
                )
        given = trigger.with_ if trigger.with_ is not None else {}
        is_known = trigger.with_ is not None or isinstance(trigger, ScheduleTrigger)
        if is_known and not any("${" in text for text in texts(given)) and schema_error(process.input) is None:
            for wrong in violations(process.input, given):
                self._report((*path, "with"), f"this is no input of the process: {wrong}", "see `input`")

    def _report(self, path: Path, message: str, hint: str) -> None:
        self._source.report(self._source.place(path), message, hint)

    def _schema(self, schema: Json, path: Path) -> None:
        if error := schema_error(schema):
            self._report(path, f"`{path[-1]}` is no JSON Schema: {error}", "see https://json-schema.org")
        elif keys := no_words(schema):
            hint = f"write type: object, properties: {{{keys[0]}: ...}}; see https://json-schema.org"
            self._report(path, f"`{path[-1]}` checks nothing: JSON Schema has no `{keys[0]}`", hint)

    def _approvals(self, agent: AgentSpec, path: Path) -> None:
        """Its approvals are for tools that it is granted."""
        tools = granted(agent.tools, self._tools)
        for index, approval in enumerate(agent.approve):
            for number, pattern in enumerate(approval.tools):
                if not granted((pattern,), tools):
                    message = f"`{path[1]}` is granted no tool that matches `{pattern}`"
                    self._report((*path, index, "tools", number), message, close(pattern, tools))

    def _patterns(self, grants: tuple[Grant, ...], path: Path) -> None:
        for index, grant in enumerate(grants):
            names = granted((grant,), self._tools)
            if not names:
                pattern = pattern_of(grant)
                self._report((*path, index), f"no tool matches `{pattern}`", close(pattern, self._tools))
                continue
            self._runnable(names, (*path, index))
            for name, constraint in constraints_of(grant).items():
                at = (*path, index, pattern_of(grant), name)
                for message, hint in problems(name, constraint, [self._tools[tool] for tool in names]):
                    self._source.report(self._source.key(at), message, hint)

    def _runnable(self, names: Iterable[str], path: Path) -> None:
        """Processes that agents may run say what they take."""
        for name in names:
            if self._tools[name].via == "process" and not self._tools[name].parameters:
                process = name.removeprefix(PROCESS_PREFIX)
                hint = f"write in {process} `input: {{type: object, ...}}`, so that agents know what it takes"
                self._report(path, f"the process `{process}` does not say what it takes", hint)

    def _call(self, tool: str, at: Path, args: Mapping[str, Json], args_at: Path) -> None:
        spec = self._tools.get(tool)
        if spec is None:
            message = "the tool `{}` is not granted to this goal" if self._planned else "there is no tool `{}`"
            self._report(at, message.format(tool), close(tool, self._tools))
            return
        if spec.via == "process":
            hint = f"write `process: {tool.removeprefix(PROCESS_PREFIX)}`"
            self._report(at, f"`{tool}` is a process, and a tool of agents only", hint)
        if spec.check is not None and spec.check not in self._tools and not self._planned:
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


def schedule_error(schedule: str) -> str | None:
    """What keeps a text from being a cron line that Temporal takes, or None."""
    if schedule in NAMED_SCHEDULES:
        return None
    try:
        CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return str(error).lower()
    return None
