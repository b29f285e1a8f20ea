"""Agents of other frameworks that ask models of their own, whose answers an evaluation neither records nor replays."""

from collections.abc import Iterator

from contracts.errors import CallerError
from contracts.process import AgentStep, Process, ProcessStep
from contracts.run import Definition
from contracts.tools import PROCESS_PREFIX
from language.names import walk
from runtime.catalog import Catalog, shown
from testkit.scripts import why_unheard


def refuse_models_of_their_own(process: str, catalog: Catalog) -> None:
    """Before anything runs, and so before anybody is asked.

    Raises:
        CallerError: an agent of the process, or of one that it starts, asks a model of its own.
    """
    for definition in _started_by(process, catalog):
        found = definition.process
        for name, agent in found.agents.items():
            if agent.adapter is None:
                continue
            why = why_unheard(agent.adapter, catalog.foreign(found.process, agent.adapter))
            if why is not None:
                place = f"{shown(catalog.files[found.process])}: {_step_of(found, name)}agent {name}"
                raise CallerError(f"{place}: {why}, or give its work to an agent of the process file")


def _started_by(process: str, catalog: Catalog) -> Iterator[Definition]:
    """The process and all that its steps and agents may start, those which those start too."""
    left, seen = [process], {process}
    while left:
        definition = catalog.definition(left.pop())
        yield definition
        steps = [step.process for _, step in walk(definition.process.steps) if isinstance(step, ProcessStep)]
        tools = [name.removeprefix(PROCESS_PREFIX) for name in definition.tools if name.startswith(PROCESS_PREFIX)]
        found = {name for name in (*steps, *tools) if name in catalog.names} - seen
        left += sorted(found)
        seen |= found


def _step_of(process: Process, agent: str) -> str:
    """The first step that the agent does; no word of any where it works only for others."""
    for path, step in walk(process.steps):
        if isinstance(step, AgentStep) and step.agent == agent:
            return f"step {'.'.join(map(str, path[1::2]))}: "
    return ""
