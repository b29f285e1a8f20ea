"""Commands about process files: are they right, how do they look."""

from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from cli.start import definition_of, process_file
from cli.tools import check_tools
from contracts.activities import LOAD_PROCESS
from contracts.errors import CallerError, DefinitionInvalid, Problem, UnknownProcess
from contracts.process import GroupStep, Step
from contracts.run import Definition, RunRequest
from language.graph import mermaid
from runtime.catalog import DECLARED_FILE, Catalog
from runtime.runs import describe
from runtime.watch import Watch


def check_files(catalog: Catalog, words: list[str]) -> tuple[list[str], list[Problem]]:
    """Every file or process by name: a line for each that is right, and the mistakes of all others."""
    fine: list[str] = []
    problems: list[Problem] = []
    for word in words:
        if Path(word).name == DECLARED_FILE:
            said, wrong = check_tools(Path(word))
            fine += [said] if said else []
            problems += wrong
            continue
        try:
            definition = definition_of(catalog, word)
        except DefinitionInvalid as error:
            problems += error.problems
        except UnknownProcess as error:
            missing = process_file(word)
            message = "there is no such file" if missing else str(error)
            problems.append(Problem(file=word, line=1, column=1, message=message))
        else:
            process = definition.process
            steps = count_steps(process.steps)
            fine.append(f"{word}: {process.process} version {process.version} is right, {steps} steps")
    return fine, problems


def count_steps(steps: dict[str, Step]) -> int:
    return sum(1 + (count_steps(step.steps) if isinstance(step, GroupStep) else 0) for step in steps.values())


async def graph_of_run(client: Client, run: str) -> str:
    """Mermaid of the definition a run was started with, coloured by how its steps stand.

    Raises:
        UnknownRun: there is none of this name.
        CallerError: the run never got a definition.
    """
    seen = await Watch(client, run).look()
    definition = await definition_of_run(client, run)
    return mermaid(definition.process, seen.view.steps)


async def definition_of_run(client: Client, run: str) -> Definition:
    """The definition that travels with a run: in its input, or as the result of the activity that loaded it.

    Raises:
        UnknownRun: there is none of this name.
        CallerError: the run never got a definition.
    """
    converter = (await describe(client, run)).data_converter
    loading: int | None = None
    async for event in client.get_workflow_handle(run).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            request = RunRequest.model_validate((await converter.decode(payloads))[0])
            if request.definition is not None:
                return request.definition
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == LOAD_PROCESS.name:
                loading = event.event_id
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            if completed.scheduled_event_id == loading:
                loaded: Definition = (await converter.decode(completed.result.payloads, [Definition]))[0]
                return loaded
    raise CallerError(f"run {run} has no definition: it ended before its process was loaded")
