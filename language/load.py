"""From the text of a process file to the definition its runs travel with, or every mistake in it at once."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from contracts.adapters import Adapter
from contracts.errors import DefinitionInvalid
from contracts.process import AgentStep, ApprovalStep, GoalStep, GroupStep, Process, Step, ToolStep
from contracts.run import Definition, definition_hash
from contracts.state import BUILT_IN
from contracts.team import team_of
from contracts.tools import ToolSpec, granted
from language.legs import Legs
from language.mend import mend_schemas
from language.names import Names, walk
from language.readers import are_edits_read
from language.references import References
from language.source import Path, Source, load_yaml
from language.structure import parse


def load_process(
    text: str | bytes,
    file: str,
    *,
    tools: Mapping[str, ToolSpec],
    processes: Collection[str] = (),
    adapters: Callable[[Adapter], tuple[str, str] | None] = lambda _: None,
) -> Definition:
    """Check a process file and complete its steps' needs.

    Args:
        text: YAML or JSON; bytes are UTF-8.
        file: how problems name the file.
        tools: every tool there is, by name; processes that agents can be granted as `process.NAME`.
        processes: names of the processes that `process:` steps can run.
        adapters: what is wrong with the object that an adapter names, and the way out.

    Raises:
        DefinitionInvalid: with every mistake, in the order of their places.
    """
    source = load_yaml(text, file)
    mend_schemas(source.data)
    tools = {**BUILT_IN, **tools}
    process, dropped = parse(source)
    needs: Mapping[Path, tuple[str, ...]] = {}
    if process is not None:
        references = References(source, dropped)
        references.check(process)
        Names(source, dropped, tools, processes).check(process)
        Legs(source, process, tools).check()
        if not source.problems:  # In what was left out for its mistakes may be what reads them.
            _report_unread(source, process)
        needs = references.needs
        for name, agent in process.agents.items():
            if agent.adapter is not None and (wrong := adapters(agent.adapter)) is not None:
                source.report(source.place(("agents", name, "adapter", agent.adapter.framework)), *wrong)
    if source.problems or process is None:
        unique = {str(problem): problem for problem in source.problems}
        raise DefinitionInvalid(sorted(unique.values(), key=lambda problem: (problem.line, problem.column)))
    process = process.model_copy(update={"steps": completed(process.steps, ("steps",), needs)})
    return _definition(process, tools)


def completed(steps: Mapping[str, Step], path: Path, needs: Mapping[Path, tuple[str, ...]]) -> dict[str, Step]:
    made: dict[str, Step] = {}
    for name, step in steps.items():
        here = (*path, name)
        changes: dict[str, Any] = {}
        if needs[here] != step.needs:
            changes["needs"] = needs[here]
        if isinstance(step, GroupStep):
            changes["steps"] = completed(step.steps, (*here, "steps"), needs)
        made[name] = step.model_copy(update=changes) if changes else step
    return made


def _report_unread(source: Source, process: Process) -> None:
    """Approvals that say what may be edited, where nothing would be done with it."""
    for path, step in walk(process.steps):
        says_so = isinstance(step, ApprovalStep) and step.approval.edits is not None
        if says_so and not are_edits_read(process, ".".join(map(str, path[1::2]))):
            source.report(
                source.place((*path, "approval", "edits")),
                f"nothing reads what people edit of `{path[-1]}`, so that it would not be done",
                f"use steps.{path[-1]}.output.edits where it is to hold, or leave `edits` out",
            )


def _of_agent(process: Process, name: str, tools: Mapping[str, ToolSpec]) -> Iterator[str]:
    """The tools of an agent, and of all who may come to work for it or in its place."""
    if name not in process.agents:
        return
    spec = process.agents[name]
    for member in (spec, *team_of(spec, process.agents, spec.limits.depth).values()):
        yield from granted(member.tools, tools)


def _definition(process: Process, tools: Mapping[str, ToolSpec]) -> Definition:
    used: set[str] = set()
    for _, step in walk(process.steps):
        if isinstance(step, ToolStep):
            used.add(step.tool)
        if isinstance(step, AgentStep):
            used.update(_of_agent(process, step.agent, tools))
        if isinstance(step, GoalStep):
            used.update(granted(step.tools, tools))
            for agent in (*step.agents, step.planner):
                used.update(_of_agent(process, agent, tools))
        if step.undo is not None:
            used.add(step.undo.tool)
    used.update([check for name in used if (check := tools[name].check) is not None])
    chosen = {name: tools[name] for name in sorted(used)}
    made = Definition(process=process, tools=chosen, hash="")
    return made.model_copy(update={"hash": definition_hash(made.model_dump(mode="json"))})
