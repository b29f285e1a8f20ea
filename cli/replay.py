"""`starter.py replay`: histories replayed on the code that lies here, before it is let at runs that go on."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from google.protobuf.json_format import ParseError
from rich.text import Text
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from cli.connection import connected
from cli.output import Exit, Output
from contracts.base import Contract
from contracts.errors import CallerError, UnknownRun
from contracts.names import AGENT_WORKFLOW, PROCESS_WORKFLOW, TOPIC_WORKFLOW
from runtime.client import data_converter
from runtime.sandbox import workflow_runner
from runtime.settings import load_settings
from workflows.registered import WORKFLOWS

HISTORIES = "*.json"
_TYPES = (PROCESS_WORKFLOW, AGENT_WORKFLOW, TOPIC_WORKFLOW)


class Replayed(Contract):
    """One history: where it is from, and why it does not replay. `diverges`: the code decides otherwise than it did;
    else it could not be read here."""

    history: str
    workflow: str
    type: str
    events: int
    problem: str | None = None
    diverges: bool = False


def read_history(file: Path) -> WorkflowHistory:
    """A history as `temporal workflow show --output json` and Temporal Web save it, under the id that its run had.

    Raises:
        CallerError: the file is no history.
    """
    try:
        return _history_in(file.read_text("utf-8"))
    except (OSError, ValueError, ParseError) as error:
        raise CallerError(
            f"{file}: this is no history in JSON, as `temporal workflow show --output json` saves it: {error}"
        ) from error


def _history_in(text: str) -> WorkflowHistory:
    """Raises:
    ValueError, ParseError: it is none.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or not content.get("events"):
        raise ValueError("it has no events")
    found = WorkflowHistory.from_json("", content)
    started = found.events[0].workflow_execution_started_event_attributes
    if not started.workflow_type.name:
        raise ValueError("its events do not begin with the start of a workflow")
    return replace(found, workflow_id=started.workflow_id)


async def replayed(history: WorkflowHistory, source: str, converter: DataConverter) -> Replayed:
    """Whether the code of today decides what it decided when the history was made, in the sandbox that workers have."""
    started = history.events[0].workflow_execution_started_event_attributes
    found = Replayed(
        history=source, workflow=history.workflow_id, type=started.workflow_type.name, events=len(history.events)
    )
    if not any(event.HasField("workflow_task_scheduled_event_attributes") for event in history.events):
        return found  # It was to begin later, and has decided nothing: the SDK would wait for its first task for ever.
    # A replayer for each: one that has failed remembers it.
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=converter)
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    failure = result.replay_failure
    if failure is None:
        return found
    problem = " ".join(str(failure).split())
    return found.model_copy(update={"problem": problem, "diverges": isinstance(failure, NondeterminismError)})


async def replay(output: Output, words: Sequence[str], last: int | None) -> Exit:
    """Every history of files, folders and runs, and the newest of the server."""
    if not words and last is None:
        raise CallerError("say what to replay: files, folders with histories, runs by id, or --last N")
    settings = load_settings()
    converter = data_converter(settings)
    files, runs = _sorted_out(words)
    told = [await _told(output, await replayed(read_history(file), str(file), converter)) for file in files]
    if runs or last is not None:
        async with connected(settings) as connection:
            client = connection.client
            told += [
                await _told(output, await replayed(history, history.workflow_id, converter))
                async for history in _of_server(client, runs, last)
            ]
    wrong = [each for each in told if each.problem is not None]
    summary = f"{len(told) - len(wrong)} of {len(told)} histories replay"
    output.show(Text(summary), {"histories": [each.model_dump(mode="json") for each in told]})
    return Exit.RUN_FAILED if wrong else Exit.HOLDS


async def _told(output: Output, found: Replayed) -> Replayed:
    if not output.as_json:
        what = "replays" if found.problem is None else "DIVERGES" if found.diverges else "cannot be replayed here"
        output.out.print(Text(f"{what}  {found.type} {found.history}, {found.events} events"), soft_wrap=True)
        if found.problem is not None:
            output.out.print(Text(f"  {found.problem}"), soft_wrap=True)
    return found


def _sorted_out(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Files, those of folders by name; and what must be runs.

    Raises:
        CallerError: a folder holds no history.
    """
    files: list[Path] = []
    runs: list[str] = []
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            inside = sorted(path.rglob(HISTORIES))
            if not inside:
                raise CallerError(f"{path}: there is no history (*.json) in this folder")
            files += inside
        elif path.suffix == ".json" or path.is_file():
            files.append(path)
        else:
            runs.append(word)
    return files, runs


async def _of_server(client: Client, runs: Iterable[str], last: int | None) -> AsyncIterator[WorkflowHistory]:
    """The runs, then the newest workflows of our types, whether they have ended or not."""
    for run in runs:
        try:
            yield await client.get_workflow_handle(run).fetch_history()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
                raise UnknownRun(
                    f"there is no file and no workflow {run!r} in namespace {client.namespace!r}"
                ) from error
            raise
    if last is not None:
        kinds = ", ".join(f"'{name}'" for name in _TYPES)
        async for found in client.list_workflows(f"WorkflowType IN ({kinds})", limit=last):
            yield await client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
