"""What each command does, given where it writes. Each returns its exit status and raises `SurefootError`."""

from pydantic import ValidationError
from rich.text import Text
from temporalio.client import Client

from cli.connection import connected
from cli.files import check_files, graph_of_run
from cli.looking import follow_to_end
from cli.output import Exit, Output, command
from cli.start import check_input, definition_of, process_file, run_id, start
from cli.values import actor_of, read_value
from contracts.base import Json
from contracts.errors import CallerError
from contracts.events import MAX_ID, PublishEvent
from contracts.run import Definition
from contracts.state import BUILT_IN
from language.graph import mermaid
from runtime.catalog import Catalog
from runtime.deciding import new_id
from runtime.polling import worker_polls
from runtime.settings import Settings, load_settings
from runtime.topics import Topics


async def run(
    output: Output,
    process: str,
    given: str | None,
    key: str | None,
    by: str | None,
    priority: int | None,
    tenant: str | None,
    *,
    wait: bool,
) -> Exit:
    settings = load_settings()
    catalog = Catalog.load(settings.folders)
    definition = definition_of(catalog, process)
    name = definition.process.process
    value = {} if given is None else read_value(given, "--input")
    check_input(definition, value, process_file(process) or catalog.files.get(name))
    workflow_id = run_id(name, key)
    actor = actor_of(by, settings)
    async with connected(settings) as connection:
        client = connection.client
        queue = settings.task_queue
        await start(client, queue, definition, value, run=workflow_id, by=actor, priority=priority, tenant=tenant)
        await _warn(output, client, settings, catalog, definition)
        link = connection.link(workflow_id)
        if wait:
            if not output.as_json:
                output.say(f"started {workflow_id}" + (f"  {link}" if link else ""))
            return await follow_to_end(output, client, workflow_id, past=True)
        lines = [f"started {workflow_id}", f"  {command('status', workflow_id, '--watch')}"]
        lines += [f"  {link}"] if link else []
        output.show(Text("\n".join(lines), no_wrap=True, overflow="ignore"), {"run": workflow_id, "url": link})
    return Exit.HOLDS


async def event(output: Output, topic: str, data: Json, key: str | None, event_id: str | None, by: str | None) -> Exit:
    settings = load_settings()
    try:
        made = PublishEvent(id=event_id or new_id(), topic=topic, data=data, key=key, by=actor_of(by, settings))
    except ValidationError as error:
        if error.errors()[0]["loc"][0] == "id":
            raise CallerError(f"--id: {len(event_id or '')} characters; write 1 to {MAX_ID}") from error
        raise CallerError(f"{topic!r} is no topic; write words joined by dots, such as order.paid") from error
    async with connected(settings) as connection:
        published = await Topics(connection.client, settings.task_queue).publish(made)
        if not await worker_polls(connection.client, settings.task_queue):
            output.say(f"warning: no worker polls task queue {settings.task_queue!r}; start one with `worker.py`")
    output.show(Text(f"published {published.topic}  {published.id}"), published.model_dump(mode="json"))
    return Exit.HOLDS


async def validate(output: Output, words: list[str]) -> Exit:
    fine, problems = check_files(Catalog.load(load_settings().folders), words)
    if output.as_json:
        output.document([problem.model_dump() for problem in problems])
    else:
        for line in fine:
            output.out.print(Text(line), soft_wrap=True)
        for problem in problems:
            output.say(str(problem))
    return Exit.WRONG_CALL if problems else Exit.HOLDS


async def graph(output: Output, word: str) -> Exit:
    settings = load_settings()
    catalog = Catalog.load(settings.folders)
    if process_file(word) is not None or word in catalog.files:
        text = mermaid(definition_of(catalog, word).process)
    else:
        async with connected(settings) as connection:
            text = await graph_of_run(connection.client, word)
    if output.as_json:
        output.document({"mermaid": text})
    else:
        output.out.file.write(text.rstrip("\n") + "\n")
    return Exit.HOLDS


async def _warn(output: Output, client: Client, settings: Settings, catalog: Catalog, definition: Definition) -> None:
    """Say what would keep a run that was started from going on."""
    if strange := sorted(set(definition.tools) - set(catalog.specs) - set(BUILT_IN)):
        output.say(
            f"warning: a worker with these settings lacks {', '.join(strange)}; add the process's folder to "
            "SUREFOOT_PROCESSES where the worker runs"
        )
    if not await worker_polls(client, settings.task_queue):
        output.say(f"warning: no worker polls task queue {settings.task_queue!r}; start one with `worker.py`")
